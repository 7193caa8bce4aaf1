package faults

import (
	"context"
	"fmt"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/bench/peer"
	"zatoha/deploy/cluster"
)

// fault is what is done in a trial while the load goes on.
type fault func(ctx context.Context, p *play) error

// play is a trial under way.
type play struct {
	*stage
	*experiment.Trial
	peer.Balancer               // its Status and Await hide those of the stage's cluster
	running       *load.Running // nil without load
	allowed       int           // errors
}

// await waits until the status is as wanted, for no longer than is reasonable.
func (p *play) await(ctx context.Context, wanted func(cluster.Status) bool) error {
	return await(ctx, p.Balancer, wanted)
}

func await(ctx context.Context, b peer.Balancer, wanted func(cluster.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return b.Await(ctx, wanted)
}

// whole waits until three servers, and no others, take traffic.
func (p *play) whole(ctx context.Context) error { return p.await(ctx, isWhole) }

func isWhole(s cluster.Status) bool {
	return len(s.Rotation) == servers && len(s.Slots) == servers && s.Consul.Reachable && len(s.Held) == 0
}

func inRotation(n int) func(cluster.Status) bool {
	return func(s cluster.Status) bool { return len(s.Rotation) == n }
}

// timed waits until the status is as wanted and measures that.
func (p *play) timed(ctx context.Context, what string, limit time.Duration, wanted func(cluster.Status) bool) error {
	began := time.Now()
	if err := p.await(ctx, wanted); err != nil {
		return err
	}
	p.Measure(what, time.Since(began), limit)
	return nil
}

const settling = 500 * time.Millisecond // of load before the fault, and behind it

// on plays the scenario once on our own load balancer, and holds it against the pass line.
func (s scenario) on(ctx context.Context, stage *stage, trial *experiment.Trial) error {
	p := &play{stage: stage, Trial: trial, Balancer: peer.Ours{Cluster: stage.Cluster}}
	err := p.whole(ctx)
	if err == nil {
		err = s.perform(ctx, p, s.fault)
	}
	s.judge(p)
	return err
}

// onPeer plays the scenario once on a peer, which is started for it and has no pass line. A failure of the trial is
// what kept it from being played to its end.
func (s scenario) onPeer(kind peer.Kind) func(context.Context, *stage, *experiment.Trial) error {
	return func(ctx context.Context, stage *stage, trial *experiment.Trial) error {
		if err := await(ctx, peer.Ours{Cluster: stage.Cluster}, isWhole); err != nil {
			return err
		}
		err := s.beside(ctx, kind, &play{stage: stage, Trial: trial})
		trial.Failures = nil // of a fault, they are about ours
		if err != nil {
			err = fmt.Errorf("not played to its end: %w", err)
		}
		return err
	}
}

// beside starts the peer, plays the scenario on it, and ends it.
func (s scenario) beside(ctx context.Context, kind peer.Kind, p *play) (err error) {
	startCtx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	rival, err := kind.Start(startCtx, p.Cluster)
	if err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
		defer cancel()
		if stopErr := rival.Stop(stopCtx); err == nil {
			err = stopErr
		}
	}()
	p.Balancer = rival
	if err := p.whole(ctx); err != nil {
		return err
	}
	return s.perform(ctx, p, s.peer.fault)
}

func (s scenario) perform(ctx context.Context, p *play, fault fault) (err error) {
	if len(s.load) == 0 {
		return fault(ctx, p)
	}
	p.running, err = load.Start(ctx, load.Options{Addr: p.Address(), Connections: 32, Rate: 1000, Templates: s.load})
	if err != nil {
		return err
	}
	defer func() { p.Load = p.running.Stop() }()
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	if err := fault(ctx, p); err != nil {
		return err
	}
	return pause.For(ctx, settling)
}

// judge compares the trial with the pass line.
func (s scenario) judge(p *play) {
	if len(s.load) > 0 && p.Load.Requests == 0 {
		p.Fail("no request was made")
	}
	p.JudgeLoad(p.allowed, s.worst)
}
