package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/fleet"
)

// worst is the longest that a request may take when a cluster is lost.
const worst = 2 * time.Second

// outers are the scenarios of two outer load balancers, which share a virtual address, and of the two clusters behind
// them.
func outers() []scenario {
	on := scenery{roles: fleet.Outer(2), clusters: fleet.Small("a", "b")}
	const (
		once = "no client has more than one failed request"
		lost = "0 failed requests that may be sent twice, worst ≤ 2 s; "
	)
	return []scenario{
		{
			name: "outer-dies", on: on, trials: 10, fault: hostDies,
			does:     "the outer load balancer's host that has the virtual address loses its link, and then its power",
			passLine: "the address serves from the other ≤ 1 s; " + once,
		},
		{
			name: "outer-process-dies", on: on, trials: 10, fault: balancerDies,
			does:     "SIGKILL HAProxy of the outer load balancer that has the virtual address",
			passLine: "the address serves ≤ 500 ms; no client is cut off more than once, though refused until then",
		},
		{
			name: "outer-moves", on: on, trials: 10, brief: true, fault: moves,
			does:     "`edge yield` on the outer load balancer that has the virtual address, GET and POST without a key",
			passLine: "0 failed requests",
		},
		{
			name: "cluster-dies", on: on, trials: 5, fault: clusterDies,
			does:     "all hosts of a cluster lose their links and their power, and are started again",
			passLine: lost + "it gets requests again",
		},
		{
			name: "cluster-drain", on: on, trials: 5, fault: clusterDrained,
			does:     "`edge drain` a cluster, POST without a key among the requests, and `edge ready`",
			passLine: "0 failed requests; both outer load balancers know, and the cluster gets none",
		},
		{
			name: "cluster-cut", on: on, trials: 5, fault: clusterCut,
			does:     "let nothing pass between a cluster and the outer load balancer that has the virtual address, and heal",
			passLine: lost + "the address stays, the other outer load balancer sends on to both",
		},
	}
}

// target is the cluster of this trial: each in its turn.
func (p *playing) target() *fleet.Fleet { return p.Behind[p.Number%len(p.Behind)] }

// sends waits until each of some outer load balancers sends to a cluster, or does not, and measures how long that takes.
func (p *playing) sends(ctx context.Context, nodes []*fleet.Node, to *fleet.Fleet, want bool, what string, since time.Time) error {
	err := until(ctx, func(ctx context.Context) error {
		for _, n := range nodes {
			if takes, err := n.Takes(ctx, to.Name); err != nil {
				return err
			} else if takes != want {
				return fmt.Errorf("that %s sends to cluster %s is %v", n.Role.Name, to.Name, takes)
			}
		}
		return nil
	})
	if err == nil {
		p.Measure(what, time.Since(since), 0)
	}
	return err
}

// served are the requests that a cluster's servers have had.
func served(ctx context.Context, c *fleet.Fleet) (n int, err error) {
	for _, node := range c.Nodes {
		if !node.Balances {
			continue
		}
		status, err := node.Status(ctx)
		if err != nil {
			return 0, err
		}
		for _, slot := range status.Slots {
			n += slot.Requests
		}
	}
	return n, nil
}

// usedAgain waits until every outer load balancer sends to a cluster, and its servers have had requests since.
func (p *playing) usedAgain(ctx context.Context, c *fleet.Fleet, since time.Time) error {
	if err := p.sends(ctx, p.Nodes, c, true, "until both send to it again", since); err != nil {
		return err
	}
	before, err := served(ctx, c)
	if err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error {
		after, err := served(ctx, c)
		if err == nil && after <= before {
			err = fmt.Errorf("cluster %s gets no requests", c.Name)
		}
		return err
	})
}

// nothingLost ends a load of which nothing may have failed or taken too long.
func (p *playing) nothingLost(ctx context.Context, running *load.Running) error {
	_, err := p.answered(ctx, running)
	p.JudgeLoad(0, worst)
	return err
}

func clusterDies(ctx context.Context, p *playing) error {
	_, running, err := p.underLoad(ctx, get, keyed)
	if err != nil {
		return err
	}
	cluster, began := p.target(), time.Now()
	for _, n := range cluster.Nodes {
		if err := n.Dead(ctx); err != nil {
			return err
		}
	}
	if err := p.sends(ctx, p.Nodes, cluster, false, "until both send to it no longer", began); err != nil {
		return err
	}
	if err := pause.For(ctx, time.Second); err != nil {
		return err
	}
	for _, n := range cluster.Nodes {
		if err := errors.Join(n.Boot(ctx), cluster.Run(ctx, n)); err != nil {
			return err
		}
	}
	if err := until(ctx, cluster.Whole); err != nil {
		return err
	}
	return errors.Join(p.usedAgain(ctx, cluster, time.Now()), p.nothingLost(ctx, running))
}

func clusterDrained(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get, keyed, post)
	if err != nil {
		return err
	}
	cluster, began := p.target(), time.Now()
	if _, err := holder.Edge(ctx, "drain", cluster.Name); err != nil {
		return err
	}
	p.Measure("edge drain", time.Since(began), 0)
	before, err := served(ctx, cluster)
	if err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if takes, err := n.Takes(ctx, cluster.Name); err != nil || takes {
			p.Fail("%s sends to the cluster that is drained: %v, %v", n.Role.Name, takes, err)
		}
	}
	if err := pause.For(ctx, time.Second); err != nil {
		return err
	}
	if after, err := served(ctx, cluster); err != nil || after > before {
		p.Fail("the cluster that is drained got %d requests, %v", after-before, err)
	}
	began = time.Now()
	if _, err := holder.Edge(ctx, "ready", cluster.Name); err != nil {
		return err
	}
	return errors.Join(p.usedAgain(ctx, cluster, began), p.flawless(ctx, "the virtual address", running))
}

func clusterCut(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get, keyed)
	if err != nil {
		return err
	}
	cluster, began := p.target(), time.Now()
	if err := p.Part(ctx, holder, cluster); err != nil {
		return err
	}
	if err := p.sends(ctx, []*fleet.Node{holder}, cluster, false, "until it is not sent to", began); err != nil {
		return err
	}
	if err := pause.For(ctx, 3*time.Second); err != nil { // in which the address might move
		return err
	}
	for _, n := range p.Nodes {
		if takes, err := n.Takes(ctx, cluster.Name); err != nil || takes != (n != holder) {
			p.Fail("that %s sends to cluster %s is %v, %v", n.Role.Name, cluster.Name, takes, err)
		}
	}
	if after, err := p.Holder(ctx); err != nil || after != holder {
		p.Fail("the address has moved, %v", err)
	}
	if err := p.Heal(ctx); err != nil {
		return err
	}
	return errors.Join(p.usedAgain(ctx, cluster, time.Now()), p.nothingLost(ctx, running))
}
