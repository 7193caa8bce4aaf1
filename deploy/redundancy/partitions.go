package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zatoha/bench/history"
	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
	"zatoha/deploy/fleet"
)

// four are hosts that have everything but the last, which has no Consul server and no load balancer.
func four() []fleet.Role {
	roles := fleet.Equal(4)
	roles[3].Balances = false
	return roles
}

// The longest times without a message when a host is cut off, with Consul's own gossip and with the shipped one. They
// hold too if that is the one with Consul's leader, though the others elect one first, which takes Consul one to three
// seconds by lot: what is longer is to be seen.
const (
	takeover      = 8 * time.Second
	takeoverTuned = 3 * time.Second
)

// partitions are the scenarios of the network and of Consul.
func partitions(o options) []scenario {
	plain, tuned := scenery{roles: four(), messages: true}, scenery{roles: four(), messages: true, fastGossip: true}
	history := "0 failed requests outside; never two run a connector at once, epochs grow; " + o.keeps()
	consumes := func(limit time.Duration) string { return fmt.Sprintf("another consumes ≤ %v; %s", limit, history) }
	stays := func(limit time.Duration) string {
		return fmt.Sprintf("the connectors stay where they are, unless their host asks Consul by the one cut off: as that leads, or "+
			"as it has no Consul server itself; without a message ≤ %v; %s", limit, history)
	}
	cut := fmt.Sprintf("for %v, and heal", o.Partition)
	return []scenario{
		{
			name: "partition-active", on: plain, trials: 3, fault: cutActive(false, takeover),
			does:     "cut the host off that runs the connectors, and not Consul's leader, with Consul's own gossip, " + cut,
			passLine: consumes(takeover),
		},
		{
			name: "partition-leader", on: plain, trials: 3, fault: cutActive(true, takeover),
			does:     "cut the host off that runs the connectors and Consul's leader, with Consul's own gossip, " + cut,
			passLine: consumes(takeover),
		},
		{
			name: "partition-other", on: plain, trials: 4, fault: cutOther(takeover),
			does:     "cut another host off, every other time the one with Consul's leader, with Consul's own gossip, " + cut,
			passLine: stays(takeover),
		},
		{
			name: "partition-active-tuned", on: tuned, trials: 3, brief: true, fault: cutActive(false, takeoverTuned),
			does:     "cut the host off that runs the connectors, and not Consul's leader, with the shipped gossip, " + cut,
			passLine: consumes(takeoverTuned),
		},
		{
			name: "partition-leader-tuned", on: tuned, trials: 3, fault: cutActive(true, takeoverTuned),
			does:     "cut the host off that runs the connectors and Consul's leader, with the shipped gossip, " + cut,
			passLine: consumes(takeoverTuned),
		},
		{
			name: "partition-other-tuned", on: tuned, trials: 4, fault: cutOther(takeoverTuned),
			does:     "cut another host off, every other time the one with Consul's leader, with the shipped gossip, " + cut,
			passLine: stays(takeoverTuned),
		},
		{
			name: "consul-leader-dies", on: tuned, trials: 5, fault: leaderDies,
			does:     "SIGKILL the Consul server that leads, and start it again when there is another leader",
			passLine: history,
		},
		{
			name: "consul-without-quorum", on: tuned, trials: 2, fault: quorumLost,
			does:     fmt.Sprintf("SIGKILL two of three Consul servers, and start them again after %v", o.outage()),
			passLine: fmt.Sprintf("0 failed requests; the virtual address stays; connectors stop ≤ %v and come back, never two at once", stopping),
		},
	}
}

// outside asks every load balancer but the victim's, and the virtual address if the victim does not have it.
func (p *playing) outside(ctx context.Context, victim *fleet.Node) (loads map[string]*load.Running, err error) {
	holder, err := p.Holder(ctx)
	if err != nil {
		return nil, err
	}
	loads = map[string]*load.Running{}
	for _, n := range p.Nodes {
		if !n.Balances || n == victim {
			continue
		}
		if loads[n.Role.Name], err = p.ask(ctx, n.Front(), get); err != nil {
			return nil, err
		}
	}
	if holder != victim {
		if loads["the virtual address"], err = p.ask(ctx, p.Front(), get); err != nil {
			return nil, err
		}
	}
	return loads, pause.For(ctx, settling)
}

// undisturbed ends the loads, none of which may have a failed request.
func (p *playing) undisturbed(ctx context.Context, loads map[string]*load.Running) error {
	for name, running := range loads {
		if err := p.flawless(ctx, name, running); err != nil {
			return err
		}
	}
	return nil
}

// another waits until another than a host is active, and each connector's messages come under its epoch.
func (p *playing) another(ctx context.Context, than *fleet.Node, epoch uint64) error {
	return until(ctx, func(ctx context.Context) error {
		for _, n := range p.Nodes {
			if n == than || !n.Connectors {
				continue
			}
			if said, err := n.ConnectorStatus(ctx); err == nil && said.Role == "active" && said.Holder.Epoch > epoch {
				return p.heardOf(ctx, time.Time{}, said.Holder.Epoch)
			}
		}
		return errors.New("no other connector host has taken over")
	})
}

func cutActive(leads bool, limit time.Duration) func(context.Context, *playing) error {
	return func(ctx context.Context, p *playing) error {
		active, said, err := p.placed(ctx, leads)
		if err != nil {
			return err
		}
		loads, err := p.outside(ctx, active)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := p.Partition(ctx, active); err != nil {
			return err
		}
		if err := p.another(ctx, active, said.Holder.Epoch); err != nil {
			return err
		}
		if err := p.silence(began, "until another consumes", limit); err != nil {
			return err
		}
		return p.healed(ctx, began, p.options.Partition, loads)
	}
}

// steady is for how long one host has had the connectors when a fault comes: what has just begun is busy with that.
const steady = 5 * time.Second

// whoActs is the node whose connector host is active, and has been for a while. Behind the fault before, or a move, there
// may be none yet.
func (p *playing) whoActs(ctx context.Context) (active *fleet.Node, said cluster.HostStatus, err error) {
	var since time.Time
	err = until(ctx, func(ctx context.Context) error {
		now, says, err := p.Active(ctx)
		if err != nil {
			active = nil
			return err
		}
		if now != active || says.Holder.Epoch != said.Holder.Epoch {
			since = time.Now()
		}
		active, said = now, says
		if acts := time.Since(since); acts < steady {
			return fmt.Errorf("%s has run the connectors for no more than %v", active.Role.Name, acts.Round(time.Millisecond))
		}
		return nil
	})
	return active, said, err
}

// placed is the node whose connector host is active, and has been for a while, when it runs Consul's leader, or does not.
func (p *playing) placed(ctx context.Context, leads bool) (*fleet.Node, cluster.HostStatus, error) {
	for {
		if err := p.place(ctx, leads); err != nil {
			return nil, cluster.HostStatus{}, err
		}
		active, said, err := p.whoActs(ctx)
		if err != nil {
			return nil, said, err
		}
		if leader, err := p.Leader(ctx); err != nil || (active == leader) == leads {
			return active, said, err
		}
	}
}

// place moves the connectors to a host that runs Consul's leader, or that does not.
func (p *playing) place(ctx context.Context, leads bool) error {
	leader, err := p.Leader(ctx)
	if err != nil {
		return err
	}
	active, said, err := p.whoActs(ctx)
	if err != nil || (active == leader) == leads {
		return err
	}
	to := leader
	if !leads {
		to = p.Nodes[(p.Number+1)%len(p.Nodes)]
		if to == leader {
			to = p.Nodes[(p.Number+2)%len(p.Nodes)]
		}
	}
	if err := active.Move(ctx, to); err != nil {
		return err
	}
	return p.another(ctx, active, said.Holder.Epoch)
}

// silence measures the longest time without a message, of the connector that fared worst.
func (p *playing) silence(began time.Time, what string, limit time.Duration) error {
	effects, err := p.effects()
	if err != nil {
		return err
	}
	var worst time.Duration
	for _, name := range p.names() {
		longest, ok := history.Silence(effects, name, began)
		if !ok {
			p.Fail("no message of %s came after the fault", name)
		}
		worst = max(worst, longest)
	}
	p.Measure(what, worst, limit)
	return nil
}

// healed lets what is wrong with the network last, mends it, and holds what happened since it began against the pass
// line.
func (p *playing) healed(ctx context.Context, began time.Time, lasts time.Duration, loads map[string]*load.Running) error {
	if err := pause.For(ctx, lasts-time.Since(began)); err != nil {
		return err
	}
	if err := p.Heal(ctx); err != nil {
		return err
	}
	mended := time.Now()
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("with the network mended: %w", err)
	}
	p.Measure("until all is as before", time.Since(mended), 0)
	if err := pause.For(ctx, 2*time.Second); err != nil { // for what comes late
		return err
	}
	return errors.Join(p.undisturbed(ctx, loads), p.judge(ctx, began))
}

func cutOther(limit time.Duration) func(context.Context, *playing) error {
	return func(ctx context.Context, p *playing) error {
		active, said, err := p.placed(ctx, false)
		if err != nil {
			return err
		}
		return p.cutOther(ctx, active, said.Holder.Epoch, limit)
	}
}

// cutOther cuts a host off that is not the active one, every other time the one with Consul's leader, and sees that the
// connectors stay where they are if they can.
func (p *playing) cutOther(ctx context.Context, active *fleet.Node, epoch uint64, limit time.Duration) error {
	leader, err := p.Leader(ctx)
	if err != nil {
		return err
	}
	victim := leader
	if p.Number%2 == 1 {
		others := slices.DeleteFunc(slices.Clone(p.Nodes), func(n *fleet.Node) bool { return n == active || n == leader })
		victim = others[p.Number/2%len(others)]
	}
	loads, err := p.outside(ctx, victim)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := p.Partition(ctx, victim); err != nil {
		return err
	}
	if err := p.healed(ctx, began, p.options.Partition, loads); err != nil {
		return err
	}
	if err := p.silence(began, "without a message", limit); err != nil {
		return err
	}
	after, now, err := p.Active(ctx)
	if err != nil {
		return err
	}
	if after == active && now.Holder.Epoch == epoch {
		return nil
	}
	if mayMove(active, victim, leader) {
		p.Note("the connectors moved")
		return nil
	}
	p.Fail("the connectors have moved from %s to %s", active.Role.Name, after.Role.Name)
	return nil
}

// mayMove says whether the connectors of a host may move when another is cut off: if it asks Consul by that one, it has
// no answer for longer than the lease lasts. All ask the leader in the end, an agent that is no server by any of them.
func mayMove(active, victim, leader *fleet.Node) bool {
	return victim == leader || victim.ConsulServer && !active.ConsulServer
}
