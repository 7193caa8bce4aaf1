package main

import (
	"context"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/lb/address"
	"zatoha/lb/admin"
	"zatoha/lb/connectors"
	"zatoha/lb/peers"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// controller is the assembled load balancer.
type controller struct {
	agent        *consul.Client
	service      string
	designs      *designs // see peers.Applied
	registration consul.Registration
	plane        plane
	seen, whole  lastSeen
	loop         *reconcile.Loop
	peers        *peers.Peers
	connectors   *connectors.Watcher
	admin        *admin.Admin
	log          zerolog.Logger
}

// equip adds the loop over the pool, and the status page that reads it.
func (c *controller) equip(pool state.Pool, r *runCommand, files address.Files) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r.VirtualAddress.IsValid() {
		exportAddress(registry, r.VirtualAddress, files)
	}
	takeProcessors(len(pool.Slots))
	c.loop = reconcile.New(pool, c.plane, c.agent, c.log, reconcile.Options{
		Policy:     r.policy(),
		MaxConn:    r.ServerMaxConn,
		Cluster:    r.Cluster,
		Resync:     r.Resync,
		LastSeen:   c.seen.at(),
		LastWhole:  c.whole.at(),
		Propagated: admin.Propagation(registry),
		Grown:      takeProcessors,
		Drained:    func() { c.peers.Changed() },
		Agreed:     func(key string) bool { return c.peers.Drained(key) },
	})
	c.peers = peers.New(c.agent, consul.BalancersPrefix(r.Cluster), c.registration.ID, r.Service, c.applied, c.log)
	c.connectors = connectors.New(c.agent, r.ConnectorhostService, r.Cluster)
	c.admin = admin.New(admin.Options{
		Cluster: r.Cluster, Service: r.Service, Consul: c.agent.Address(), Version: program.Version(),
		Actions: c.actions(), Peers: c.peers.Report, Connectors: c.connectors.Report,
	}, c.loop, c.plane, registry, c.log)
}

// run lives until ctx ends or a part fails for good. HAProxy goes on serving either way.
func (c *controller) run(ctx context.Context, listener net.Listener) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return c.admin.Serve(ctx, listener) })
	parts.Go(func() error { return c.plane.run(ctx, c.loop.Tell) })
	parts.Go(func() error { return c.loop.Run(ctx) })
	parts.Go(func() error { return c.peers.Run(ctx) })
	parts.Go(func() error { return c.connectors.Run(ctx) })
	parts.Go(func() error {
		c.seen.keep(ctx, c.log, c.lastAnswer)
		return nil
	})
	parts.Go(func() error {
		c.whole.keep(ctx, c.log, func() time.Time { return c.loop.Report().LastWhole })
		return nil
	})
	parts.Go(func() error {
		c.agent.WatchClosely(ctx, c.service, func(seen consul.Observation) { c.loop.Observe(ctx, seen) })
		return nil
	})
	parts.Go(func() error { return c.agent.KeepRegistered(ctx, c.registration, c.registered) })
	parts.Go(func() error {
		program.Attend(ctx, c.log, c.loop.Alive)
		return nil
	})
	return parts.Wait()
}

// lastAnswer is now while Consul answers; when it does not, what is noted already stays.
func (c *controller) lastAnswer() time.Time {
	if c.loop.Report().Consul.Reachable {
		return time.Now()
	}
	return time.Time{}
}

// applied is what this load balancer tells the others of itself.
func (c *controller) applied() peers.Applied {
	report := c.loop.Report()
	return peers.Applied{
		Index: report.Index, Digest: report.Pool.Digest(), Design: c.designs.told(c.plane.Placed()), At: time.Now().UTC(), Drained: c.loop.Drained(),
	}
}

func (c *controller) registered(err error) {
	if err != nil {
		c.log.Warn().Err(err).Msg("the load balancer is not registered in consul, trying on")
		return
	}
	c.log.Info().Str("id", c.registration.ID).Msg("the load balancer is registered in consul")
}
