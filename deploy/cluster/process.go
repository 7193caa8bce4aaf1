package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is one program that was started. It has a session of its own, so that a Ctrl-C reaches only us and the kernel
// shares the processors out to each program alike, as it does to services of systemd. It is killed if we die.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read it when done is closed
}

// startProcess starts a program, whose output goes to the end of the file at log.
func startProcess(name, log string, env []string, binary string, args ...string) (*Process, error) {
	return StartWithin(nil, name, log, env, binary, args...)
}

// startAs starts a program as startProcess does, or as its unit would.
func startAs(unit bool, name, log string, env []string, binary string, args ...string) (*Process, error) {
	if unit {
		binary, args = AsUnit(binary, args...)
	}
	return startProcess(name, log, env, binary, args...)
}

// StartWithin starts a program from a thread that has called enter, by which it comes to be elsewhere, such as in another
// network namespace; nil is here. Its output goes to the end of the file at log. Whoever starts it stops it; and if we
// die, what was started elsewhere has to be killed by whoever made that place.
func StartWithin(enter func() error, name, log string, env []string, binary string, args ...string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer output.Close()
	p := &Process{Name: name, log: log, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if enter == nil {
		p.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	} else {
		p.cmd.Dir = "/" // what paths are relative to is not there
	}
	started := make(chan error, 1)
	go p.live(enter, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// live starts the process and waits for its end on one thread: the kernel sends the death signal when the thread that
// started it ends, not when the program does.
func (p *Process) live(enter func() error, started chan<- error) {
	runtime.LockOSThread()
	defer close(p.done)
	if enter == nil {
		defer runtime.UnlockOSThread()
	} else if err := enter(); err != nil { // and the thread ends with the goroutine: nobody else may find himself there
		started <- err
		return
	}
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// PID is the process's id, also after its end.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Command is the line that starts it again, for a shell.
func (p *Process) Command() string {
	words := make([]string, len(p.cmd.Args))
	for i, arg := range p.cmd.Args {
		words[i] = quoted(arg)
	}
	return strings.Join(words, " ")
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quoted is an argument as a word for a shell.
func quoted(arg string) string {
	if plainWord.MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// HasEnded says whether the process has ended.
func (p *Process) HasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Ended says how the process ended. Ask it only when [Process.Done] is closed.
func (p *Process) Ended() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// Status is the exit status, or -1 if a signal ended it. Ask it only when [Process.Done] is closed.
func (p *Process) Status() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(signal syscall.Signal) { _ = p.cmd.Process.Signal(signal) }

// Kill ends the process as a crash would, and waits until it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and kills it when ctx ends first, which is an error.
func (p *Process) Stop(ctx context.Context) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s (pid %d) did not stop in time and was killed: see %s", p.Name, p.PID(), p.log)
	}
}

// StopClean is Stop for a program of ours: that it ends otherwise than with status 0 is an error too.
func (p *Process) StopClean(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("%s (pid %d) did not end in good order (%s): %s", p.Name, p.PID(), p.Ended(), p.LogTail())
	}
	return nil
}

// LogTail is the end of its output.
func (p *Process) LogTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// pollInterval is how often a condition in another process is looked at.
const pollInterval = 20 * time.Millisecond

// Await looks until the condition holds, the process ends, or ctx does. The condition's error says what is missing; an
// [EndedError] says that waiting is of no use.
func (p *Process) Await(ctx context.Context, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := condition(ctx)
		if _, ended := errors.AsType[*EndedError](err); err == nil || ended {
			return err
		}
		select {
		case <-p.done:
			return &EndedError{Process: p}
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.Name, err)
		case <-ticker.C:
		}
	}
}

// EndedError says that a process ended while it was waited for.
type EndedError struct{ Process *Process }

func (e *EndedError) Error() string {
	return fmt.Sprintf("%s ended at its start (%s): %s", e.Process.Name, e.Process.Ended(), e.Process.LogTail())
}
