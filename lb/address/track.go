package address

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"zatoha/deploy/program"
)

// Files are where the load balancer and keepalived meet.
type Files struct{ Dir string }

// Value is the file that keepalived follows.
func (f Files) Value() string { return filepath.Join(f.Dir, "track") }

// yielded is there while the address is to be elsewhere.
func (f Files) yielded() string { return filepath.Join(f.Dir, "yielded") }

// Yielded says whether the address is to be elsewhere.
func (f Files) Yielded() bool {
	_, err := os.Stat(f.yielded())
	return err == nil
}

// SetYielded says whether the address is to be elsewhere. It holds until it is said otherwise, also after a reboot.
func (f Files) SetYielded(yielded bool) error {
	if !yielded {
		if err := os.Remove(f.yielded()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(f.yielded(), nil, 0o644)
}

// missing says whether somebody has removed the value.
func (f Files) missing() bool {
	_, err := os.Stat(f.Value())
	return errors.Is(err, fs.ErrNotExist)
}

// left is the value that an earlier process has left since the machine was started, which keepalived goes by.
func (f Files) left() (value int, there bool) {
	about, err := os.Stat(f.Value())
	if err != nil {
		return 0, false
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return 0, false
	}
	if age := time.Since(about.ModTime()); age < 0 || age > time.Duration(up.Nano()) {
		return 0, false
	}
	text, err := os.ReadFile(f.Value())
	if err != nil {
		return 0, false
	}
	value, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return value, err == nil
}

// write replaces the value at one stroke: an empty file would be a zero.
func (f Files) write(value int) error {
	next := f.Value() + ".next"
	if err := os.WriteFile(next, []byte(strconv.Itoa(value)+"\n"), 0o644); err != nil {
		return fmt.Errorf("tell keepalived: %w", err)
	}
	if err := os.Rename(next, f.Value()); err != nil {
		return fmt.Errorf("tell keepalived: %w", err)
	}
	return nil
}

// The times of asking.
const (
	askInterval = 50 * time.Millisecond
	askTimeout  = 300 * time.Millisecond
)

// Monitor asks HAProxy for its monitor.
type Monitor struct {
	url    string
	client http.Client
}

// NewMonitor asks at a URL. It keeps a connection, so that it is answered when HAProxy has all the connections that it
// may have, and hears at once when HAProxy dies.
func NewMonitor(url string) *Monitor {
	return &Monitor{url: url, client: http.Client{Timeout: askTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// Ask asks once.
func (m *Monitor) Ask(ctx context.Context) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return Silent, err
	}
	response, err := m.client.Do(request)
	if err != nil {
		return Silent, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close() // has nothing left to read
	switch {
	case err != nil:
		return Silent, err
	case response.StatusCode == http.StatusServiceUnavailable:
		return NoServer, nil
	default:
		return Serving, nil
	}
}

// Close lets go of the connection.
func (m *Monitor) Close() { m.client.CloseIdleConnections() }

// Track keeps the file of keepalived up to date until ctx ends. It goes on with the value that an earlier process has
// left: that this one was started says nothing about HAProxy, and must not move the address. After a start of the
// machine, HAProxy has to prove itself first. The service manager, if there is one, is told that it is ready when the
// file has been seen to, and that it is alive as long as that goes on.
func Track(ctx context.Context, monitor *Monitor, outlook *Outlook, files Files, log zerolog.Logger) error {
	defer monitor.Close()
	return program.Turning(ctx, log, func(ctx context.Context, turned func()) error {
		return track(ctx, monitor, outlook, files, log, turned)
	})
}

// track calls turned behind each answer that it has made a value of.
func track(ctx context.Context, monitor *Monitor, outlook *Outlook, files Files, log zerolog.Logger, turned func()) error {
	judge, last, err := begin(outlook, files)
	if err != nil {
		return err
	}
	looking, stop := context.WithCancel(ctx)
	var looks sync.WaitGroup
	defer looks.Wait()
	defer stop()
	looks.Go(func() { outlook.follow(looking) })
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		answer, err := monitor.Ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		judge.Hear(time.Now(), answer)
		yielded, alone := files.Yielded(), outlook.Alone()
		if value := judge.Value(yielded, alone); value != last || files.missing() {
			if err := files.write(value); err != nil {
				return err
			}
			last = value
			log.Info().Int("value", value).Str("haproxy", string(judge.Counts())).Bool("yielded", yielded).Bool("alone", alone).AnErr("answer", err).
				Msg("keepalived is told how this load balancer does")
		}
		turned()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// begin goes on with the value that an earlier process has left, else with [Fault].
func begin(outlook *Outlook, files Files) (judge *Judge, value int, err error) {
	if value, left := files.left(); left {
		outlook.resume(value)
		return resumed(value), value, nil
	}
	return &Judge{}, Fault, files.write(Fault)
}
