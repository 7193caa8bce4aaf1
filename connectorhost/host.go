package main

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/connectorhost/relay"
	"zatoha/connectorhost/supervise"
	"zatoha/consul"
)

// host is what a connector host knows at any moment. Each part of the program tells it what it learned; who shows it to
// others takes a copy.
type host struct {
	settings
	address string // where others reach it
	log     zerolog.Logger
	began   time.Time
	sends   *outgoing
	beat    atomic.Int64 // when the last beat of the lease ended, in nanoseconds since began
	beats   *prometheus.HistogramVec
	spare   func() int // processes that wait for a connector

	mu         sync.Mutex
	lease      consul.LeaseState
	tenure     *consul.Tenure // while it acts
	tenures    int
	connectors []supervise.Status
	catalog    catalog
	hosts      []consul.Instance
	links      map[int]*relay.Caller // of children, by their process IDs
	changed    chan struct{}         // closed at the next change of what concerns Consul or the supervisor
}

func newHost(s settings, address string, log zerolog.Logger) *host {
	h := &host{
		settings: s, address: address, log: log, began: time.Now(), beats: newBeats(), changed: make(chan struct{}), links: map[int]*relay.Caller{},
		spare: func() int { return 0 },
		lease: consul.LeaseState{Role: consul.Standby}, catalog: catalog{good: map[string]parsed{}},
	}
	h.sends = newOutgoing(h)
	return h
}

// change changes something, and wakes whoever waits for changes.
func (h *host) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	close(h.changed)
	h.changed = make(chan struct{})
}

// view reads something, and returns what is closed at the next change.
func (h *host) view(read func()) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	read()
	return h.changed
}

// leased is told the state of the lease.
func (h *host) leased(state consul.LeaseState) {
	var before consul.LeaseState
	h.change(func() { before, h.lease = h.lease, state })
	holder := state.Status.Holder
	event := h.log.Info()
	if state.Err != nil {
		event = h.log.Warn().Err(state.Err)
	}
	switch {
	case before.Role != state.Role:
		event.Str("role", string(state.Role)).Str("before", string(before.Role)).Msg("the role has changed")
	case before.Status != state.Status:
		event.Str("holder", holder.Host).Uint64("epoch", holder.Epoch).Bool("held", state.Status.Held).Msg("the lease has changed")
	case state.Err != nil:
		event.Str("role", string(state.Role)).Msg("the lease cannot be kept or had as it should be")
	default:
		event.Str("role", string(state.Role)).Msg("the lease is in order again")
	}
}

// defined is told the definitions in Consul.
func (h *host) defined(o consul.TreeObservation) {
	if o.Err != nil {
		h.log.Warn().Err(o.Err).Msg("the definitions cannot be read; the last ones stay in force")
		return
	}
	prefix := consul.ConnectorsPrefix(h.Cluster)
	var before, refused []refusal
	h.change(func() {
		before = h.catalog.refused
		h.catalog = h.catalog.reread(prefix, o.Pairs)
		refused = h.catalog.refused
	})
	for _, r := range refused {
		if slices.Contains(before, r) {
			continue // it was said
		}
		h.log.Error().Str("connector", r.Name).Str("reason", r.Reason).Bool("last_good_kept", r.Kept).Msg("a definition is refused")
	}
}

// seen is told who the connector hosts are, of all clusters that share this Consul.
func (h *host) seen(o consul.Observation) {
	if o.Err == nil {
		others := func(i consul.Instance) bool { return !i.Of(h.Cluster) }
		h.change(func() { h.hosts = slices.DeleteFunc(slices.Clone(o.Snapshot.Instances), others) })
	}
}

// hold runs the connectors for one tenure.
func (h *host) hold(supervisor *supervise.Supervisor, tenure *consul.Tenure) {
	h.change(func() { h.tenure, h.tenures = tenure, h.tenures+1 })
	definitions := make(chan []supervise.Definition)
	ended := make(chan struct{})
	var feeding sync.WaitGroup
	feeding.Go(func() { h.feed(definitions, ended) })
	h.sends.heirs.take(tenure.Leaving())
	supervisor.Run(tenure, tenure.Epoch, definitions)
	close(ended)
	feeding.Wait()
	h.sends.heirs.bequeath(tenure.Context())
	h.change(func() { h.tenure, h.connectors, h.links = nil, nil, map[int]*relay.Caller{} })
}

// feed hands on each set of definitions that differs from the one before.
func (h *host) feed(definitions chan<- []supervise.Definition, ended <-chan struct{}) {
	same := func(a, b supervise.Definition) bool { return a.Name == b.Name && a.Hash == b.Hash }
	var last []supervise.Definition
	for {
		var now []supervise.Definition
		changed := h.view(func() { now = h.catalog.active() })
		if !slices.EqualFunc(last, now, same) {
			select {
			case definitions <- now:
				last = now
			case <-ended:
				return
			}
		}
		select {
		case <-changed:
		case <-ended:
			return
		}
	}
}

// linked is told of the connection to a child that was started.
func (h *host) linked(pid int, connection net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links[pid] = relay.NewCaller(connection)
}

// unlinked is told that a child has ended.
func (h *host) unlinked(pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.links, pid)
}

// supervised is told the state of the connectors.
func (h *host) supervised(all []supervise.Status) {
	var before []supervise.Status
	h.change(func() { before, h.connectors = h.connectors, all })
	for _, status := range all {
		was := slices.IndexFunc(before, func(s supervise.Status) bool { return s.Name == status.Name })
		if was >= 0 && before[was].State == status.State && before[was].Why == status.Why {
			continue
		}
		if status.State == supervise.Fenced {
			h.log.Error().Str("connector", status.Name).Str("why", status.Why).Msg("a connector is fenced, and stays stopped under the epoch of this host: " +
				"nothing is to be done if another host is active by now; else have one take the lease anew: connectorhost move")
			continue
		}
		event := h.log.Info()
		if status.Why != "" {
			event = h.log.Warn().Str("why", status.Why)
		}
		event.Str("connector", status.Name).Str("state", string(status.State)).Int("pid", status.PID).Msg("a connector has changed")
	}
}

// onChange calls do now, a while after each change, with those that come meanwhile, and every interval, until ctx
// ends.
func (h *host) onChange(ctx context.Context, while, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		changed := h.view(func() {})
		do()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(while):
			}
		case <-tick.C:
		}
	}
}
