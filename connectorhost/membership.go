package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

const (
	// connectorTTL is how long Consul believes what it was last told of a connector.
	connectorTTL = 30 * time.Second
	// checkInterval is how often the checks are looked at; each is set when its connector has changed, and every third
	// of its TTL. Each is a write for Consul's servers, and an answer with all checks of all hosts to whoever follows; a
	// connector that is started goes through four states, just when all processors are needed to have it receive.
	checkInterval = time.Second
	// settled is how long a role lasts before Consul is told of it: a host that takes over goes through two.
	settled = 100 * time.Millisecond
)

// membership is the host's place in Consul: its registration, which says whether it is active, and the checks of its
// connectors.
type membership struct {
	agent agent
	host  *host
	check string // the lease's
}

func newMembership(agent agent, h *host) *membership {
	// Another one for each process: what an earlier one has left must not seem alive.
	var incarnation [4]byte
	_, _ = rand.Read(incarnation[:]) // never fails
	return &membership{agent: agent, host: h, check: consul.LeaseCheckPrefix(h.ID) + hex.EncodeToString(incarnation[:])}
}

// connectorCheck is the ID of a connector's check. Consul's servers take IDs that differ in case alone for one: the
// checks of two connectors would overwrite each other, so a name with capitals is marked, behind a character that no name
// has.
func (m *membership) connectorCheck(name string) string {
	id := consul.ConnectorCheckPrefix(m.host.ID) + name
	if strings.ToLower(name) == name {
		return id
	}
	sum := sha256.Sum256([]byte(name))
	return id + "~" + hex.EncodeToString(sum[:4])
}

// registration is how Consul shall know the host just now.
func (m *membership) registration() consul.Registration {
	h := m.host
	host, portText, _ := net.SplitHostPort(h.address) // it was made of both
	port, _ := strconv.Atoi(portText)
	r := consul.Registration{
		ID: h.ID, Name: h.Service, Address: host, Port: port, Tags: []string{consul.StandbyTag},
		Meta: map[string]string{consul.VersionMeta: program.Version(), consul.ClusterMeta: h.Cluster},
		TTLs: []consul.TTLCheck{{ID: m.check, Name: "lease", TTL: h.LeaseTTL, DeregisterCriticalAfter: h.DeregisterAfter}},
	}
	h.view(func() {
		if h.lease.Role != consul.Active || h.tenure == nil {
			return
		}
		r.Tags = []string{consul.ActiveTag}
		r.Meta[consul.EpochMeta] = strconv.FormatUint(h.tenure.Epoch, 10)
		for _, c := range h.connectors {
			r.TTLs = append(r.TTLs, consul.TTLCheck{
				ID: m.connectorCheck(c.Name), Name: "connector " + c.Name, TTL: connectorTTL, InitialStatus: consul.Warning,
			})
		}
	})
	return r
}

// keep keeps the host registered, as what it is, until ctx ends.
func (m *membership) keep(ctx context.Context) error {
	changes := make(chan consul.Registration, 1)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last consul.Registration
		m.host.onChange(ctx, settled, time.Hour, func() {
			next := m.registration()
			if slices.Equal(last.Tags, next.Tags) && maps.Equal(last.Meta, next.Meta) && slices.Equal(last.TTLs, next.TTLs) {
				return
			}
			select {
			case <-changes: // nobody has seen it yet, and it is out of date
			default:
			}
			changes <- next
			last = next
		})
	}()
	defer func() { cancel(); <-done }()
	return m.agent.KeepRegisteredAs(ctx, changes, func(err error) {
		if err != nil {
			m.host.log.Warn().Err(err).Msg("not registered in Consul, trying on")
			return
		}
		m.host.log.Info().Str("service", m.host.Service).Msg("registered in Consul")
	})
}

// checks tells Consul how each connector does, until ctx ends.
func (m *membership) checks(ctx context.Context) {
	type word struct {
		status consul.Status
		output string
		at     time.Time
	}
	told := map[string]word{}
	failing := false
	m.host.onChange(ctx, checkInterval, checkInterval, func() {
		var all []supervise.Status
		m.host.view(func() { all = m.host.connectors })
		for _, c := range all {
			status, output := health(c)
			last := told[c.Name]
			if last.status == status && last.output == output && time.Since(last.at) < connectorTTL/3 {
				continue
			}
			err := m.agent.SetCheck(ctx, m.connectorCheck(c.Name), status, output)
			if err == nil {
				told[c.Name], failing = word{status, output, time.Now()}, false
				continue
			}
			delete(told, c.Name) // most likely it is just being registered
			if !failing && ctx.Err() == nil && time.Since(c.Since) > connectorTTL {
				m.host.log.Warn().Err(err).Msg("Consul cannot be told how the connectors do")
				failing = true
			}
		}
	})
}

// health is a connector's state in Consul's words, and in its own for whoever looks. One that runs has a reason if it is
// held up.
func health(c supervise.Status) (consul.Status, string) {
	output := string(c.State)
	if c.Why != "" {
		output += ": " + strings.ToValidUTF8(c.Why, "?")
	}
	switch c.State {
	case supervise.Running:
		if c.Why != "" {
			return consul.Warning, output
		}
		return consul.Passing, output
	case supervise.Failed, supervise.Fenced:
		return consul.Critical, output
	}
	return consul.Warning, output
}
