package takeover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"zatoha/bench/pause"
)

const (
	mostUntilEnd   = time.Second            // from when a host is stopped to the end of its connectors' processes: how long the check of a lease lasts
	mostAfterPause = 100 * time.Millisecond // that a host whose time is over may take from when it goes on until nothing of it acts
)

// suspendHost stops the active host, as a machine that swaps would: its children, which go on, have to see themselves
// that their time is over. Frozen, they are stopped too, and the kernel has to see to it. When the host goes on another
// one is at work.
func suspendHost(spell time.Duration, frozen bool) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		pids := slices.Collect(maps.Values(processes(p.before)))
		p.holder.process.Signal(syscall.SIGSTOP)
		var err error
		if frozen {
			err = signal(pids, syscall.SIGSTOP)
		}
		if err == nil {
			err = p.superseded(ctx, pids)
		}
		if err == nil {
			err = pause.For(ctx, spell-time.Since(p.began))
		}
		resumed := time.Now()
		p.holder.process.Signal(syscall.SIGCONT)
		if err != nil {
			return errors.Join(err, signal(pids, syscall.SIGKILL))
		}
		if err := p.stopped(ctx, p.holder); err != nil {
			return err
		}
		p.Measure("stopped after it goes on", time.Since(resumed), mostAfterPause)
		return nil
	}
}

// superseded waits until the processes of the holder's connectors have ended, and another host has taken over.
func (p *play) superseded(ctx context.Context, pids []int) error {
	ending, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, pid := range pids {
		if err := gone(ending, pid); err != nil {
			return fmt.Errorf("the process %d of a connector whose time is over does not end: %w", pid, err)
		}
	}
	p.Measure("the last of its processes ended", time.Since(p.began), mostUntilEnd)
	return p.another(ctx)
}

// signal sends a signal to processes that lead a group each, and to whatever they have started.
func signal(pids []int, s syscall.Signal) (err error) {
	for _, pid := range pids {
		if killErr := syscall.Kill(-pid, s); killErr != nil {
			err = errors.Join(err, fmt.Errorf("send %v to process %d: %w", s, pid, killErr))
		}
	}
	return err
}
