package main

import (
	"context"
	"errors"
	"time"

	"zatoha/bench/history"
	"zatoha/bench/load"
	"zatoha/bench/pause"
)

func leaderDies(ctx context.Context, p *playing) error {
	leader, err := p.Leader(ctx)
	if err != nil {
		return err
	}
	loads, err := p.outside(ctx, nil)
	if err != nil {
		return err
	}
	before, _, err := p.Active(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	leader.Agent.Kill()
	if err := until(ctx, func(ctx context.Context) error {
		now, err := p.Leader(ctx)
		if err == nil && now == leader {
			err = errors.New("consul's leader has not been missed")
		}
		return err
	}); err != nil {
		return err
	}
	p.Measure("until Consul has a leader", time.Since(began), 0)
	if err := until(ctx, func(ctx context.Context) error { return p.heardOf(ctx, time.Now(), 0) }); err != nil {
		return err
	}
	if err := p.silence(began, "longest time without a message", 0); err != nil {
		return err
	}
	if err := leader.StartAgent(); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	after, _, err := p.Active(ctx)
	if err != nil {
		return err
	}
	if after != before {
		p.Note("the connectors moved")
	}
	return errors.Join(p.undisturbed(ctx, loads), p.judge(ctx, began))
}

// staying asks everybody, and returns the loads, and what fails the trial if the virtual address has moved meanwhile.
func (p *playing) staying(ctx context.Context) (loads map[string]*load.Running, stayed func(context.Context), err error) {
	holder, err := p.Holder(ctx)
	if err != nil {
		return nil, nil, err
	}
	loads, err = p.outside(ctx, nil)
	return loads, func(ctx context.Context) {
		if after, err := p.Holder(ctx); err != nil || after != holder {
			p.Fail("the virtual address has moved, %v", err)
		}
	}, err
}

// stopping is how long it may take until no connector runs any more: the lease's time, and what a busy machine adds.
const stopping = 1500 * time.Millisecond

// outage is how long Consul has no quorum: long enough to see the connectors stop.
func (o options) outage() time.Duration {
	return max(o.Outage, 2*stopping*time.Duration(max(o.Slack, 1)))
}

func quorumLost(ctx context.Context, p *playing) error {
	loads, stayed, err := p.staying(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	killed := p.Nodes[:2]
	for _, n := range killed {
		n.Agent.Kill()
	}
	if err := pause.For(ctx, p.options.outage()); err != nil {
		return err
	}
	stayed(ctx)
	if err := p.allStopped(began); err != nil {
		return err
	}
	back := time.Now()
	for _, n := range killed {
		if err := n.StartAgent(); err != nil {
			return err
		}
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	if err := until(ctx, func(ctx context.Context) error { return p.heardOf(ctx, back, 0) }); err != nil {
		return err
	}
	p.Measure("until all is as before", time.Since(back), 0)
	return errors.Join(p.undisturbed(ctx, loads), p.judge(ctx, began))
}

// allStopped measures when the last connector stopped; none may run now.
func (p *playing) allStopped(began time.Time) error {
	runs, err := p.runs()
	if err != nil {
		return err
	}
	last, goOn := lastStop(runs)
	switch {
	case len(goOn) > 0:
		p.Fail("without a quorum connectors run on: %v", goOn)
	case last.Before(began):
		p.Fail("no connector ran when the quorum was lost")
	default:
		p.Measure("until all connectors have stopped", last.Sub(began), stopping)
	}
	return nil
}

// lastStop is when the last of those runs ended that have, and which have not.
func lastStop(runs []history.Run) (last time.Time, goOn []history.Run) {
	for _, r := range runs {
		if r.Stop.IsZero() {
			goOn = append(goOn, r)
		} else if r.Stop.After(last) {
			last = r.Stop
		}
	}
	return last, goOn
}
