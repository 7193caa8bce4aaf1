package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

// runCommand runs the connector host.
type runCommand struct{ settings }

const deregisterTimeout = 2 * time.Second

// Run is the program: see the package comment.
func (r *runCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	agent, err := r.Settings.Client(program.Renewed(log, "the token for Consul"))
	if err != nil {
		return program.BadConfig("", err.Error(), "")
	}
	listener, err := program.Listen("--listen", r.Listen)
	if err != nil {
		return err
	}
	host, err := r.assemble(listener, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return host.run(ctx, agent, listener, childCommandLine(&g.Common))
}

func (r *runCommand) assemble(listener net.Listener, log zerolog.Logger) (*host, error) {
	listening, address, err := r.advertised(listener.Addr())
	if err != nil {
		return nil, err
	}
	if err := r.identify(listening.Port()); err != nil {
		return nil, err
	}
	return newHost(r.settings, address, log.With().Str("id", r.ID).Logger()), nil
}

// run lives until ctx ends, or a part fails for good. The lease is given up first, then everything else.
func (h *host) run(ctx context.Context, agent agent, listener net.Listener, child []string) error {
	token, err := h.token()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	h.sends.token.secret = connector.NewSecret(token)
	common, err := h.shared(token)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	h.log.Info().Stringer("listen", listener.Addr()).Str("version", program.Version()).Str("kinds", kindNames()).Msg("listening")
	member := newMembership(agent, h)
	supervisor := supervise.New(supervise.Options{
		Command: child, Env: childEnv(), Shared: common, Policy: h.policy(), Linked: h.linked, Observe: h.supervised, Log: h.log,
	})
	lease := consul.Lease{
		Key: consul.LeaseKey(h.Cluster), Service: h.Service, Host: h.ID, Address: h.address, Check: member.check,
		TTL: h.LeaseTTL, Beat: h.LeaseBeat, Observe: h.leased,
		Hold: func(t *consul.Tenure) { h.hold(supervisor, t) }, Beaten: h.beaten,
	}
	alone := make(chan struct{}) // closed when it is known that no other host has the ID
	parts, ctx := errgroup.WithContext(ctx)
	staying, leave := context.WithCancel(context.WithoutCancel(ctx))
	parts.Go(func() error {
		defer leave()
		if err := h.alone(ctx, agent); err != nil || ctx.Err() != nil {
			return err
		}
		close(alone)
		return agent.Compete(ctx, lease)
	})
	parts.Go(func() error {
		select {
		case <-alone:
			return member.keep(staying)
		case <-staying.Done():
			return nil
		}
	})
	parts.Go(func() error {
		program.Attend(ctx, h.log, func(ctx context.Context) error { return h.alive(ctx, listener.Addr()) })
		return nil
	})
	parts.Go(func() error { return serveHTTP(staying, listener, h) })
	parts.Go(func() error {
		member.checks(staying)
		return nil
	})
	parts.Go(func() error {
		agent.WatchTree(staying, consul.ConnectorsPrefix(h.Cluster), h.defined)
		return nil
	})
	parts.Go(func() error {
		agent.Watch(staying, h.Service, h.seen)
		return nil
	})
	err = parts.Wait()
	select {
	case <-alone:
	default:
		return err // what is registered under the ID is not ours
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), deregisterTimeout)
	defer cancel()
	if failure := agent.Deregister(ending, h.ID); failure != nil {
		h.log.Warn().Err(failure).Msg("still registered; Consul's check will find this host gone")
	}
	return err
}
