// Package process keeps one HAProxy in master-worker mode running and outlives nothing: HAProxy is started in a session
// of its own and goes on serving when the controller stops or dies; the next controller finds it by its master socket
// and adopts it.
//
// One life, walked through: [Process.Run] asks the master socket who is there. Nobody: it starts haproxy, waits until a
// worker answers, and reports. The master is killed: its pidfd turns readable, Run starts another at once. The
// controller is told to stop: Run returns, HAProxy stays. [Stop] is what ends HAProxy itself.
//
// The package is for Linux: it needs pidfds and sessions.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// Paths are the files that belong to one HAProxy. All of them are in one directory, except the configuration.
type Paths struct {
	Config string // haproxy.cfg
	Dir    string // where the others are
}

// Master is the master process's command socket.
func (p Paths) Master() string { return filepath.Join(p.Dir, "haproxy-master.sock") }

// Stats is the workers' runtime socket.
func (p Paths) Stats() string { return filepath.Join(p.Dir, "haproxy-stats.sock") }

// Events is the socket at which the controller listens to HAProxy.
func (p Paths) Events() string { return filepath.Join(p.Dir, "haproxy-events.sock") }

// Relay is the socket at which HAProxy takes requests from workers that a reload has replaced.
func (p Paths) Relay() string { return filepath.Join(p.Dir, "haproxy-relay.sock") }

// PID is the file with the master's process id.
func (p Paths) PID() string { return filepath.Join(p.Dir, "haproxy.pid") }

// Log is where HAProxy's own warnings and errors go.
func (p Paths) Log() string { return filepath.Join(p.Dir, "haproxy.log") }

// maxSocketPath is what fits into a Unix socket's address, less the suffix that HAProxy adds while it binds one.
const maxSocketPath = 107 - len(".1234567.tmp")

// Check says whether the paths can be used at all.
func (p Paths) Check() error {
	if n := len(p.Master()); n > maxSocketPath {
		return fmt.Errorf("socket path %s has %d characters, a Unix socket takes %d: choose a shorter directory",
			p.Master(), n, maxSocketPath)
	}
	return nil
}

// Process supervises one HAProxy. Its methods may be called from several goroutines.
type Process struct {
	binary  string
	paths   Paths
	log     zerolog.Logger
	changed func()

	reloading sync.Mutex // one reload at a time
	mu        sync.Mutex
	status    Status
}

// New prepares the supervision of one HAProxy. changed is called whenever HAProxy has been started, adopted or
// reloaded, or has died, from the goroutine of [Process.Run], [Process.Reload] or [Process.Look].
func New(binary string, paths Paths, log zerolog.Logger, changed func()) *Process {
	return &Process{binary: binary, paths: paths, log: log, changed: changed}
}

// startTimeout bounds the wait for a started HAProxy to answer.
const startTimeout = 15 * time.Second

// Run keeps HAProxy running until ctx ends and leaves it running then. A start that fails is tried again, after a
// tenth of a second and then ever more slowly, up to 2 s apart; each failure is logged with HAProxy's own words.
func (p *Process) Run(ctx context.Context) error {
	delay := time.Duration(0)
	for ctx.Err() == nil {
		running, err := p.adoptOrStart(ctx)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			delay = min(max(2*delay, 100*time.Millisecond), 2*time.Second)
			p.log.Error().Err(err).Dur("retry_in", delay).Msg("haproxy is not running")
			pause(ctx, delay)
			continue
		}
		delay = 0
		if running.wait(ctx) != nil {
			break
		}
		p.log.Error().Int("pid", running.pid).Str("log", p.paths.Log()).Msg("haproxy died, starting it again")
		p.update(func(s *Status) { s.Master, s.Worker, s.Restarts = 0, 0, s.Restarts+1 })
	}
	return nil
}

// adoptOrStart takes over the HAProxy that runs on our paths, or starts one.
func (p *Process) adoptOrStart(ctx context.Context) (*master, error) {
	found, adopted, err := find(ctx, p.paths)
	if err != nil {
		return nil, err
	}
	if !adopted {
		if found.Master != 0 {
			p.log.Warn().Int("master", found.Master).Msg("haproxy's master has no worker, replacing it")
			if err := end(ctx, found); err != nil {
				return nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if found, err = p.start(ctx); err != nil {
			return nil, err
		}
	}
	running, err := watch(found.Master)
	if err != nil {
		return nil, fmt.Errorf("watching haproxy's master process %d: %w", found.Master, err)
	}
	p.update(func(s *Status) {
		s.Master, s.Worker, s.Version = found.Master, found.Worker, found.Version
		s.Since, s.Adopted = time.Now(), adopted
	})
	p.log.Info().Int("master", found.Master).Int("worker", found.Worker).Bool("adopted", adopted).Msg("haproxy serves")
	return running, nil
}

// start starts haproxy in a session of its own and waits until its master names a worker.
func (p *Process) start(ctx context.Context) (Processes, error) {
	output, err := openLog(p.paths.Log())
	if err != nil {
		return Processes{}, fmt.Errorf("haproxy's log: %w: make its folder writable for this user", err)
	}
	defer output.Close()
	cmd := exec.Command(p.binary, "-W", "-S", p.paths.Master()+",mode,600", "-f", p.paths.Config, "-p", p.paths.PID())
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Processes{}, fmt.Errorf("starting %s: %w", p.binary, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // reaps it, now or when it dies; lives as long as HAProxy does

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		found, err := showProc(ctx, p.paths.Master())
		if err == nil && found.Master == cmd.Process.Pid && found.Worker != 0 {
			return found, nil
		}
		select {
		case <-ended:
			return Processes{}, fmt.Errorf("haproxy ended at its start: %s", lastLines(p.paths.Log()))
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return Processes{}, fmt.Errorf("haproxy (pid %d) did not answer on %s, and was killed: %w: %s",
				cmd.Process.Pid, p.paths.Master(), ctx.Err(), lastLines(p.paths.Log()))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// longLog is the size from which on a log is put aside, as HAProxy starts again.
const longLog = 1 << 20

// openLog opens the log for an HAProxy that starts. It goes on behind what the last one wrote, which may say why that one
// died; a long one is put aside, in place of the one before.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > longLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
}

// Reload makes HAProxy read its configuration again, without closing a connection, and waits until a new worker
// serves. The configuration must have been validated: HAProxy 2.6 answers nothing, so success is seen by the master's
// own list of workers. It returns an error, and the old worker goes on, if the new one does not come. Once begun it is
// seen through, whatever becomes of ctx: whoever follows us must not find an HAProxy that is about to change.
func (p *Process) Reload(ctx context.Context) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	before, err := showProc(ctx, p.paths.Master())
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := syscall.Kill(before.Master, syscall.SIGUSR2); err != nil {
		return fmt.Errorf("reload: signalling haproxy's master process %d: %w", before.Master, err)
	}
	for {
		after, err := showProc(ctx, p.paths.Master())
		switch {
		case err == nil && after.Failed > before.Failed:
			return fmt.Errorf("haproxy refused the configuration at its reload, the old one goes on serving: %s", lastLines(p.paths.Log()))
		case err == nil && after.Worker != 0 && after.Worker != before.Worker && serves(ctx, p.paths.Stats(), after.Worker):
			p.update(func(s *Status) { s.Worker, s.Reloads = after.Worker, s.Reloads+1 })
			return nil
		}
		if !pause(ctx, 2*time.Millisecond) {
			return fmt.Errorf("reload: no new worker within %s: %s", startTimeout, lastLines(p.paths.Log()))
		}
	}
}

// Running says whether an HAProxy with a worker answers on these paths.
func Running(ctx context.Context, paths Paths) bool {
	_, running, _ := find(ctx, paths)
	return running
}

// StopTimeout is time enough for [Stop]: to look for a master that does not answer, and to see it end.
const StopTimeout = reloadGap + 10*time.Second

// Stop ends the HAProxy that belongs to these paths, at once and with all its workers, and removes its sockets and pid
// file. It is no error if none is running.
func Stop(ctx context.Context, paths Paths) error {
	found, _, err := find(ctx, paths)
	if found.Master != 0 {
		err = end(ctx, found)
	}
	if err != nil {
		return err
	}
	for _, file := range []string{paths.Master(), paths.Stats(), paths.Events(), paths.Relay(), paths.PID()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// end terminates a master and sees it and its workers gone.
func end(ctx context.Context, found Processes) error {
	running, err := watch(found.Master)
	if err != nil {
		return fmt.Errorf("watching haproxy's master process %d: %w", found.Master, err)
	}
	if err := syscall.Kill(found.Master, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping haproxy's master process %d: %w", found.Master, err)
	}
	if err := running.wait(ctx); err != nil {
		return fmt.Errorf("haproxy's master process %d did not stop: %w", found.Master, err)
	}
	return nil
}

// pause waits for d and says whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
