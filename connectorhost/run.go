package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

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
	if err := r.identify(program.HostPort(listener.Addr().String()).Port()); err != nil {
		return nil, err
	}
	return newHost(r.settings, string(program.Advertised(listener.Addr(), r.Advertise)), log.With().Str("id", r.ID).Logger()), nil
}

// run lives until ctx ends, or a part fails for good. The lease is given up first, then everything else.
func (h *host) run(ctx context.Context, agent agent, listener net.Listener, child []string) error {
	supervisor, err := h.supervisor(child)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	h.spare = supervisor.Ready
	h.log.Info().Stringer("listen", listener.Addr()).Str("version", program.Version()).Str("kinds", kindNames()).Msg("listening")
	member := newMembership(agent, h)
	alone := make(chan struct{}) // closed when it is known that no other host has the ID
	parts, ctx := errgroup.WithContext(ctx)
	staying, leave := context.WithCancel(context.WithoutCancel(ctx))
	parts.Go(func() error {
		defer leave()
		if err := h.alone(ctx, agent); err != nil || ctx.Err() != nil {
			return err
		}
		close(alone)
		return agent.Compete(ctx, h.contest(member.check, supervisor))
	})
	parts.Go(func() error {
		select {
		case <-alone:
			return member.keep(staying)
		case <-staying.Done():
			return nil
		}
	})
	server := &http.Server{Handler: h.handler()}
	server.RegisterOnShutdown(h.sends.heirs.end)
	parts.Go(func() error { return program.ServeHTTP(staying, listener, server, requestTimeout) })
	parts.Go(func() error {
		program.Attend(ctx, h.log, func(ctx context.Context) error { return h.alive(ctx, listener.Addr()) })
		return nil
	})
	parts.Go(func() error { h.follow(staying, agent, member); return nil })
	parts.Go(func() error { h.keepSpare(staying, supervisor); return nil })
	parts.Go(func() error { h.sends.inherit(staying); return nil })
	parts.Go(func() error { h.sends.token.Follow(staying); return nil })
	err = parts.Wait()
	supervisor.Close() // first: Consul may learn that this host is gone when another one is at work
	select {
	case <-alone:
		h.deregister(ctx, agent)
	default: // what is registered under the ID is not ours
	}
	return err
}

// supervisor is what runs the connectors, each by the command.
func (h *host) supervisor(command []string) (*supervise.Supervisor, error) {
	token, err := program.GivenToken("--invoke-token", h.InvokeToken, h.InvokeTokenFile, program.Renewed(h.log, "the token for services that send"))
	if err != nil {
		return nil, err
	}
	h.sends.token = token
	reference, err := h.reference()
	if err != nil {
		return nil, err
	}
	common, err := h.shared(reference)
	if err != nil {
		return nil, err
	}
	return supervise.New(supervise.Options{
		Command: command, Env: childEnv(), Shared: common, Policy: h.policy(), Linked: h.linked, Unlinked: h.unlinked, Observe: h.supervised, Log: h.log,
	})
}

// keepSpare has as many processes wait for a connector as may be needed soon, until ctx ends: one for each connector that
// is not here, and one more for the first that crashes or is changed. A host that has the lease and waits until it may
// act makes use of that time.
func (h *host) keepSpare(ctx context.Context, supervisor *supervise.Supervisor) {
	h.onChange(ctx, 0, time.Hour, func() {
		spare, soon := 0, false
		h.view(func() {
			switch connectors := len(h.catalog.active()); {
			case connectors == 0:
			case h.tenure != nil:
				spare = 1
			default:
				spare, soon = connectors+1, h.lease.Role == consul.TakingOver
			}
		})
		supervisor.Reserve(min(spare, h.SpareProcesses), soon)
	})
}

// follow keeps what the host knows of Consul up to date, and its own checks there, until ctx ends.
func (h *host) follow(ctx context.Context, agent agent, member *membership) {
	var parts sync.WaitGroup
	parts.Go(func() { member.checks(ctx) })
	parts.Go(func() { agent.WatchTree(ctx, consul.ConnectorsPrefix(h.Cluster), h.defined) })
	parts.Go(func() { agent.Watch(ctx, h.Service, h.seen) })
	parts.Wait()
}

// contest is what the host competes for, and what it does with it.
func (h *host) contest(check string, supervisor *supervise.Supervisor) consul.Lease {
	return consul.Lease{
		Key: consul.LeaseKey(h.Cluster), Host: h.ID, Address: h.address, Check: check,
		TTL: h.LeaseTTL, Beat: h.LeaseBeat, Observe: h.leased,
		Hold: func(t *consul.Tenure) { h.hold(supervisor, t) }, Beaten: h.beaten,
	}
}

func (h *host) deregister(ctx context.Context, agent agent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deregisterTimeout)
	defer cancel()
	if err := agent.Deregister(ctx, h.ID); err != nil {
		h.log.Warn().Err(err).Msg("still registered; Consul's check will find this host gone")
	}
}
