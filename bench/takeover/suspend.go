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

const mostAfterPause = 100 * time.Millisecond // that a host whose time is over may take from when it goes on until nothing of it acts

// pauseHost stops the active host as a machine that swaps would. Its children, which go on, have to see themselves that
// their time is over.
func pauseHost(spell time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		p.holder.process.Signal(syscall.SIGSTOP)
		goOn := func() { p.holder.process.Signal(syscall.SIGCONT) }
		if err := p.another(ctx); err != nil {
			goOn()
			return err
		}
		if err := pause.For(ctx, spell-time.Since(p.began)); err != nil {
			goOn()
			return err
		}
		resumed := time.Now()
		goOn()
		if err := p.stopped(ctx, p.holder); err != nil {
			return err
		}
		p.Measure("stopped after it goes on", time.Since(resumed), mostAfterPause)
		return nil
	}
}

// freezeHost stops the active host and the processes of its connectors, as when a virtual machine is suspended. Another
// host is at work when they go on, and all of them have what came for them meanwhile: they have to see that their time is
// over before they do anything with it. What they did nevertheless is an effect of an epoch that is over, of which the
// history tells.
func freezeHost(spell time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		frozen := slices.Collect(maps.Values(processes(p.before)))
		if err := p.freeze(frozen); err != nil {
			return errors.Join(err, p.thaw(frozen))
		}
		err := p.another(ctx)
		if err == nil {
			err = pause.For(ctx, spell-time.Since(p.began))
		}
		resumed := time.Now()
		if err := errors.Join(err, p.thaw(frozen)); err != nil {
			return err
		}
		ending, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		for _, pid := range frozen {
			if err := gone(ending, pid); err != nil {
				return fmt.Errorf("the process %d of a connector whose time is over does not end: %w", pid, err)
			}
		}
		p.Measure("the last process ended after they went on", time.Since(resumed), mostAfterPause)
		return p.stopped(ctx, p.holder)
	}
}

// freeze stops the holder and these processes of its connectors. For the history they have acted until now.
func (p *play) freeze(pids []int) error {
	p.holder.process.Signal(syscall.SIGSTOP)
	if err := signal(pids, syscall.SIGSTOP); err != nil {
		return err
	}
	p.witness.frozen(p.holder.id, pids, time.Now())
	return nil
}

// thaw lets them go on: the connectors first, as it is not the host that is to stop them.
func (p *play) thaw(pids []int) error {
	err := signal(pids, syscall.SIGCONT)
	p.holder.process.Signal(syscall.SIGCONT)
	return err
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
