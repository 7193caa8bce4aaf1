package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
)

// agent is what a server asks of Consul: see the methods of consul.Client.
type agent interface {
	Watch(ctx context.Context, service string, observe func(consul.Observation))
	KeepRegistered(ctx context.Context, registration consul.Registration, report func(error)) error
	Deregister(ctx context.Context, id string) error
	SetMaintenance(ctx context.Context, id string, on bool, reason string) error
	Delete(ctx context.Context, key string) error
	WatchKey(ctx context.Context, key string, observe func(consul.KeyObservation))
	WatchTree(ctx context.Context, prefix string, observe func(consul.TreeObservation))
}

// stopReason is the reason of the maintenance by which a server leaves. It tells that maintenance from an operator's.
const stopReason = "zatoha: the server is stopping"

var errNotDrained = errors.New("no load balancer acknowledged in time that it has drained this server")

// membership is the server's place in its cluster. The methods are to be called in the order join, leave, deregister,
// each when the one before has returned.
type membership struct {
	agent        agent
	registration consul.Registration
	ackKey       string                   // written by the load balancer once it has drained this server
	changed      <-chan struct{}          // has one when the metadata may be out of date; nil: never
	meta         func() map[string]string // the metadata now; needed with changed
	log          zerolog.Logger
}

// settle is how long changes of the metadata are gathered before Consul hears of them.
const settle = 200 * time.Millisecond

// join makes the server known and keeps it known until ctx ends. It returns an error only if the registration can never
// succeed; while Consul is away it tries on.
func (m *membership) join(ctx context.Context) error {
	m.clearLeftover(ctx)
	for {
		current, stop := context.WithCancel(ctx)
		outdated := begin(func() error { defer stop(); return m.awaitChange(current) })
		err := m.keep(current)
		stop()
		<-outdated.done
		if err != nil || ctx.Err() != nil {
			return err
		}
		m.registration.Meta = m.meta()
	}
}

// awaitChange returns when the metadata is out of date, or ctx has ended.
func (m *membership) awaitChange(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		if !maps.Equal(m.meta(), m.registration.Meta) {
			return nil
		}
	}
}

func (m *membership) keep(ctx context.Context) error {
	return m.agent.KeepRegistered(ctx, m.registration, func(err error) {
		if err != nil {
			m.log.Warn().Err(err).Msg("not registered in Consul; serving anyway and trying on")
			return
		}
		m.log.Info().Str("service", m.registration.Name).Msg("registered in Consul")
	})
}

// clearLeftover removes what an earlier process of this ID has left in Consul when it was killed. Registering anew would
// not: the failing check would stay so until its next run, and if the process was leaving, the maintenance for ever.
// What an operator has put into maintenance stays there. That is all the catalog is asked for: it learns of changes a
// little later than the agent makes them, so a leftover that it shows as healthy, or not at all, may be neither.
func (m *membership) clearLeftover(ctx context.Context) {
	instance := m.registered(ctx)
	for _, check := range instance.Checks {
		if check.ID == consul.MaintenanceCheck(instance.ID) && check.Notes != stopReason {
			m.log.Warn().Str("reason", check.Notes).Msg("an operator has put this server into maintenance: it gets no traffic")
			return
		}
	}
	if err := m.agent.Deregister(ctx, m.registration.ID); err != nil && ctx.Err() == nil {
		m.log.Warn().Err(err).Msg("cannot remove what an earlier process left in Consul")
	}
}

// registered looks the server up in Consul's catalog, and waits for Consul if it is away. The instance is
// zero if there is none.
func (m *membership) registered(ctx context.Context) (instance consul.Instance) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := false
	m.agent.Watch(ctx, m.registration.Name, func(o consul.Observation) {
		if o.Err != nil {
			if !told {
				m.log.Warn().Err(o.Err).Msg("Consul cannot be asked; serving anyway and trying on")
			}
			told = true
			return
		}
		for _, candidate := range o.Snapshot.Instances {
			if candidate.ID == m.registration.ID {
				instance = candidate
			}
		}
		cancel()
	})
	return instance
}

// leave announces that the server is going and returns nil when a load balancer has acknowledged that it sends no more
// requests, else an error: at the end of ctx, or at once if the announcement failed, since then nobody could know.
func (m *membership) leave(ctx context.Context) error {
	// Only an acknowledgement of this announcement counts, not one of an earlier process.
	if err := m.agent.Delete(ctx, m.ackKey); err != nil {
		return fmt.Errorf("announce the stop: %w", err)
	}
	if err := m.agent.SetMaintenance(ctx, m.registration.ID, true, stopReason); err != nil {
		return fmt.Errorf("announce the stop: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := false
	m.agent.WatchKey(ctx, m.ackKey, func(o consul.KeyObservation) {
		if o.Err == nil && o.Pair.Found {
			drained = true
			cancel()
		}
	})
	if !drained {
		return errNotDrained
	}
	return nil
}

// deregister removes the server, and its maintenance, from Consul.
func (m *membership) deregister(ctx context.Context) error {
	return m.agent.Deregister(ctx, m.registration.ID)
}
