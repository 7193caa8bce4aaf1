package main

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/lb/address"
	"zatoha/lb/admin"
	"zatoha/lb/reconcile"
)

// runCommand runs the load balancer.
type runCommand struct{ settings }

// Run is the program: see the package comment.
func (r *runCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	agent, err := r.Settings.Client(program.Renewed(log, "the token for Consul"))
	if err != nil {
		return program.BadConfig("", err.Error(), "")
	}
	c := r.controller(agent, g.StateDir, log)
	c.plane, err = r.plane(g, log, func() { c.loop.Wake() })
	if err != nil {
		return err
	}
	unlock, err := c.plane.claim(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := program.Listen("--admin-listen", r.AdminListen)
	if err != nil {
		return err
	}
	if err := r.assemble(ctx, c, g.files()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return c.run(ctx, listener)
}

// controller knows what the flags say, and has no parts yet.
func (r *runCommand) controller(agent *consul.Client, stateDir string, log zerolog.Logger) *controller {
	return &controller{agent: agent, service: r.Service, designs: newDesigns(stateDir, r.options().Shared()), seen: newLastSeen(stateDir), whole: newLastWhole(stateDir), log: log}
}

// assemble puts the parts together and the configuration in order.
func (r *runCommand) assemble(ctx context.Context, c *controller, files address.Files) error {
	pool, err := lastPool(ctx, c.plane, r.Slots)
	if err != nil {
		return c.plane.refusal(err)
	}
	c.registration = r.registration(c.plane.about())
	c.equip(pool, r, files)
	done, err := c.plane.Prepare(ctx, reconcile.Servers(pool))
	c.loop.Rewritten(done)
	if err != nil {
		return c.plane.refusal(err)
	}
	c.tellDesign()
	if used := pool.Used(); used > 0 {
		c.log.Info().Int("servers", used).Str("from", c.plane.about().place).Msg("going on with the servers that haproxy's configuration had last")
	}
	return nil
}

// tellDesign says so if the design in place is not that of the flags, and else remembers what others are told of it.
func (c *controller) tellDesign() {
	placed := c.plane.Placed()
	if !placed.RolledBack.IsZero() {
		c.log.Warn().Time("rolled_back", placed.RolledBack).Msg("the settings of haproxy are not in effect, they were rolled back: " + admin.AfterRollback)
	}
	if err := c.designs.note(placed); err != nil {
		c.log.Warn().Err(err).Msg("after a rollback, other load balancers will be told of a difference that may be none; does the disk take writes?")
	}
}
