package main

import (
	"context"
	"errors"
	"time"

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
	if err := pause.For(ctx, p.options.Outage); err != nil {
		return err
	}
	stayed(ctx)
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
