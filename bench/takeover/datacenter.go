package takeover

import (
	"context"
	"fmt"
	"time"

	"zatoha/bench/history"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// datacenter is a Consul of three servers, and an agent for each connector host, as on machines of their own: who loses a
// server does not lose the agent that it asks.
type datacenter struct {
	servers *cluster.ConsulServers
	agents  []*cluster.ConsulServer
}

func startDatacenter(ctx context.Context, consul, dir string) (d *datacenter, err error) {
	d = &datacenter{}
	defer func() {
		if err != nil {
			d.kill()
		}
	}()
	if d.servers, err = cluster.StartConsulServers(ctx, cluster.ConsulServersConfig{Binary: consul, Dir: dir, Count: 3, AsUnits: true}); err != nil {
		return d, err
	}
	for i := range hosts {
		agent, err := d.servers.StartClient(ctx, fmt.Sprintf("agent-%d", i+1))
		if err != nil {
			return d, err
		}
		d.agents = append(d.agents, agent)
	}
	return d, nil
}

// kill ends all of it.
func (d *datacenter) kill() {
	for _, agent := range d.agents {
		agent.Process().Kill()
	}
	if d.servers != nil {
		d.servers.Kill()
	}
}

// leader waits for one.
func (d *datacenter) leader(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return d.servers.AwaitLeader(ctx)
}

// catchUp is how long a server that was started again has to catch up before the next fault.
const catchUp = 3 * time.Second

// killLeader kills the leader of Consul's three servers. The two others elect another.
func killLeader(ctx context.Context, p *play) error {
	killed, err := p.datacenter.leader(ctx)
	if err != nil {
		return err
	}
	p.began = time.Now()
	p.datacenter.servers.Kill(killed)
	if _, err := p.datacenter.leader(ctx); err != nil {
		return err
	}
	elected := time.Now()
	p.Measure("Consul has another leader", elected.Sub(p.began), 0)
	if err := p.resumed(ctx, elected, ""); err != nil {
		return err
	}
	if err := p.datacenter.servers.Start(killed); err != nil {
		return err
	}
	return pause.For(ctx, catchUp)
}

// loseQuorum kills the leader of Consul's three servers and, when all is well with the next one, that one too. The last
// one is no quorum until the others are started again.
func loseQuorum(outage outages) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		first, err := p.datacenter.leader(ctx)
		if err != nil {
			return err
		}
		p.datacenter.servers.Kill(first)
		second, err := p.datacenter.leader(ctx)
		if err == nil {
			err = p.whole(ctx)
		}
		if err != nil {
			return fmt.Errorf("with two servers of three: %w", err)
		}
		p.began = time.Now()
		p.datacenter.servers.Kill(second)
		if err := p.allStop(ctx); err != nil {
			return err
		}
		away := outage.of(p.Number)
		if err := pause.For(ctx, away-time.Since(p.began)); err != nil {
			return err
		}
		for _, i := range []int{first, second} {
			if err := p.datacenter.servers.Start(i); err != nil {
				return err
			}
		}
		if _, err := p.datacenter.leader(ctx); err != nil {
			return err
		}
		if err := p.resumed(ctx, time.Now(), outage.after(away)); err != nil {
			return err
		}
		return pause.For(ctx, catchUp)
	}
}

// allStop waits until no connector acts, and measures when the last one stopped.
func (p *play) allStop(ctx context.Context) error {
	if err := p.until(ctx, func(context.Context) error {
		if n := len(p.witness.acting()); n > 0 {
			return fmt.Errorf("%d connectors still run", n)
		}
		return nil
	}); err != nil {
		return err
	}
	p.Measure("all have stopped", p.last().Sub(p.began), time.Second)
	return nil
}

// resumed waits until messages of all connectors have come since a time, and measures how long that took, after what.
func (p *play) resumed(ctx context.Context, since time.Time, after string) error {
	if err := p.until(ctx, func(context.Context) error { return p.heard(since, 0) }); err != nil {
		return err
	}
	worst := time.Duration(0)
	for _, name := range p.names {
		if at, ok := history.Next(p.effects, name, since, 0); ok {
			worst = max(worst, at.Sub(since))
		}
	}
	p.Measure("all consume again"+after, worst, 5*time.Second)
	return nil
}
