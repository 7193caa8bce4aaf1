package measure

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/peer"
	"zatoha/deploy/cluster"
)

// inTurn is how many changes one balancer has before it is the other's turn.
const inTurn = 10

// rival is a balancer whose changes are timed.
type rival struct {
	peer.Balancer
	name    string
	signal  func(syscall.Signal) error // to all of its processes
	changes *changes
}

// await waits until its status is as wanted, for no longer than is reasonable.
func (c *rival) await(ctx context.Context, wanted func(cluster.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return c.Await(ctx, wanted)
}

// takeTurns times changes, in turns: so many by ours, as many by a bare blocking query beside it, as many by the peer.
// Who has not the turn is stopped by SIGSTOP, and so costs the other nothing.
func (o Options) takeTurns(ctx context.Context, l *lab, subjects *newcomers, times *propagationTimes) (err error) {
	ours, err := l.rival(ctx, &times.ours)
	if err != nil {
		return err
	}
	ourTurn := func(n int) error {
		return o.turn(ctx, l, subjects, ours, n, func() error { return subjects.bare(ctx, l, n, times) })
	}
	if o.Fabio == "" {
		return ourTurn(o.Trials)
	}
	startCtx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	fabio, err := peer.StartFabio(startCtx, l.Cluster, o.Fabio)
	if err != nil {
		return err
	}
	theirs := &rival{fabio, peer.FabioName, func(signal syscall.Signal) error { fabio.Signal(signal); return nil }, &times.peer}
	defer func() { // nobody is left frozen, who then could not end
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
		defer cancel()
		err = errors.Join(err, ours.signal(syscall.SIGCONT), theirs.signal(syscall.SIGCONT), fabio.Stop(stopCtx))
	}()
	for done := 0; done < o.Trials; done += inTurn {
		n := min(inTurn, o.Trials-done)
		if err := handOver(ctx, theirs, ours, times.servers); err != nil {
			return err
		}
		if err := ourTurn(n); err != nil {
			return err
		}
		if err := handOver(ctx, ours, theirs, times.servers); err != nil {
			return err
		}
		if err := o.turn(ctx, l, subjects, theirs, n, func() error { return nil }); err != nil {
			return err
		}
	}
	return handOver(ctx, theirs, ours, times.servers)
}

// handOver has one stop and the other go on, and waits until that one has all servers.
func handOver(ctx context.Context, from, to *rival, servers int) error {
	if err := errors.Join(from.signal(syscall.SIGSTOP), to.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	return to.await(ctx, func(s cluster.Status) bool { return len(s.Rotation) == servers })
}

// turn times n changes by a balancer under load, and then does what else is done under the same load.
func (o Options) turn(ctx context.Context, l *lab, subjects *newcomers, by *rival, n int, then func() error) error {
	running, err := load.Start(ctx, load.Options{
		Addr: by.Address(), Connections: 8, Rate: propagationLoad, Templates: []load.Template{load.Get("/asked")},
	})
	if err != nil {
		return err
	}
	defer func() { by.changes.load = load.Sum([]load.Report{by.changes.load, running.Stop()}) }()
	if err := wait(ctx, time.Second); err != nil { // for all to be warm
		return err
	}
	for range n {
		if err := subjects.each(func(s *subject) error { return s.visit(ctx, l, by) }); err != nil {
			return err
		}
	}
	return then()
}

// rival is the lab's own load balancer: the controller and HAProxy.
func (l *lab) rival(ctx context.Context, times *changes) (*rival, error) {
	haproxy, err := l.HAProxy(ctx)
	if err != nil {
		return nil, err
	}
	signal := func(signal syscall.Signal) error {
		l.LB.Signal(signal)
		for _, pid := range haproxy {
			if err := syscall.Kill(pid, signal); err != nil {
				return fmt.Errorf("haproxy, %d: %w", pid, err)
			}
		}
		return nil
	}
	return &rival{peer.Ours{Cluster: l.Cluster}, "ours", signal, times}, nil
}
