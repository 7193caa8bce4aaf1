package outgoing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"zatoha/consul"
)

// ConnectorHosts is the name under which connector hosts register; the active one has the tag [ActiveTag], and in its
// metadata [EpochMeta], which grows with every takeover.
const (
	ConnectorHosts = "zato-connectorhost"
	ActiveTag      = "active"
	EpochMeta      = "epoch"
)

// Watcher follows a service, as consul.Client does.
type Watcher interface {
	Watch(ctx context.Context, service string, observe func(consul.Observation))
}

// Follow learns from Consul which connector host is active, until ctx ends. What was learned last stays in force while
// Consul cannot tell.
func (s *Set) Follow(ctx context.Context, watcher Watcher, service string) {
	watcher.Watch(ctx, service, func(o consul.Observation) {
		if o.Err != nil {
			s.log.Warn("consul does not tell which connector host is active, keeping to the last", "error", o.Err)
			return
		}
		s.hosts.set(active(o.Snapshot.Instances))
	})
}

// active is the address of the active host, "" if there is none. While a takeover is on its way there may be two that
// say so: the later one counts, and among equals one whose checks pass.
func active(instances []consul.Instance) string {
	rank := func(i consul.Instance) (epoch uint64, healthy bool) {
		epoch, _ = strconv.ParseUint(i.Meta[EpochMeta], 10, 64)
		return epoch, i.Status == consul.Passing || i.Status == consul.Warning
	}
	best := -1
	for n, instance := range instances {
		if !slices.Contains(instance.Tags, ActiveTag) || instance.Port == 0 {
			continue
		}
		if best < 0 {
			best = n
			continue
		}
		epoch, healthy := rank(instance)
		bestEpoch, bestHealthy := rank(instances[best])
		if epoch > bestEpoch || epoch == bestEpoch && healthy && !bestHealthy {
			best = n
		}
	}
	if best < 0 {
		return ""
	}
	return instances[best].HostPort()
}

// hosts knows the active connector host.
type hosts struct {
	log *slog.Logger

	mu      sync.Mutex
	active  string
	changed chan struct{} // closed and replaced at each change
	closed  bool
}

func newHosts(log *slog.Logger) *hosts { return &hosts{log: log, changed: make(chan struct{})} }

func (h *hosts) set(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active == address || h.closed {
		return
	}
	h.log.Info("the active connector host has changed", "was", h.active, "is", address)
	h.active = address
	close(h.changed)
	h.changed = make(chan struct{})
}

// get returns the active host, and a channel that is closed when it is not any more.
func (h *hosts) get() (address string, changed <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return "", h.changed, fmt.Errorf("the server is stopping")
	}
	return h.active, h.changed, nil
}

// close ends the sends that are under way.
func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.changed)
	}
}
