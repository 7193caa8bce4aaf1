package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

// quitTime is how long a command may take to end after an interrupt.
const quitTime = 10 * time.Second

// failure is the end of a command that did not do what it was run for.
type failure struct {
	what   string   // was to be done
	err    error    // how it ended
	remedy string   // what to do about it
	last   []string // what it printed last
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v: %s", f.what, f.err, f.remedy) }
func (f *failure) Unwrap() error { return f.err }

// offline finds, in what apt-get or go print, that the network is to blame.
var offline = regexp.MustCompile(`(?i)temporary failure resolving|could not resolve|could not connect|unable to connect|` +
	`dial tcp|no such host|i/o timeout|TLS handshake timeout|network is unreachable|proxyconnect`)

var errOffline = errors.New("no network")

// transcript keeps what a command printed last. It is safe for concurrent use.
type transcript struct {
	each func(line string) // is called with each line, if set, in the goroutine that writes

	mu      sync.Mutex
	part    []byte // of a line that has not ended
	last    []string
	offline bool
}

// keep is the number of lines that a transcript keeps.
const keep = 12

// Write takes output of a command.
func (t *transcript) Write(output []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.part = append(t.part, output...)
	for {
		line, rest, whole := bytes.Cut(t.part, []byte("\n"))
		if !whole {
			return len(output), nil
		}
		t.add(string(bytes.TrimSpace(line)))
		t.part = rest
	}
}

func (t *transcript) add(line string) {
	if line == "" {
		return
	}
	if t.each != nil {
		t.each(line)
	}
	t.offline = t.offline || offline.MatchString(line)
	if t.last = append(t.last, line); len(t.last) > keep {
		t.last = t.last[1:]
	}
}

// line is the last one.
func (t *transcript) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) == 0 {
		return ""
	}
	return t.last[len(t.last)-1]
}

// fail makes a failure of a command whose output this is.
func (t *transcript) fail(ctx context.Context, what string, err error, remedy string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case t.offline:
		err = errOffline
	}
	return &failure{what: what, err: err, remedy: remedy, last: t.last}
}

// command prepares a command whose output goes to the transcript, and which is interrupted when ctx ends.
func command(ctx context.Context, output *transcript, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = quitTime
	return cmd
}
