package outgoing

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"zatoha/consul"
)

// Watcher follows a service, as consul.Client does.
type Watcher interface {
	Watch(ctx context.Context, service string, observe func(consul.Observation))
}

// Follow learns from Consul which connector host of a cluster is active, until ctx ends. What was learned last stays in
// force while Consul cannot tell.
func (s *Set) Follow(ctx context.Context, watcher Watcher, service, cluster string) {
	watcher.Watch(ctx, service, func(o consul.Observation) {
		if o.Err != nil {
			s.log.Warn("consul does not tell which connector host is active, keeping to the last", "error", o.Err)
			return
		}
		s.hosts.set(active(o.Snapshot.Instances, cluster))
	})
}

// active are the addresses of hosts of a cluster that say that they are active, none if there is none. While a takeover
// is on its way there may be two: the later one, by its epoch, comes first, and among equals one whose checks pass.
func active(instances []consul.Instance, cluster string) (addresses []string) {
	rank := func(i consul.Instance) (epoch uint64, sick int) {
		epoch, _ = strconv.ParseUint(i.Meta[consul.EpochMeta], 10, 64)
		if i.Status != consul.Passing && i.Status != consul.Warning {
			sick = 1
		}
		return epoch, sick
	}
	candidates := slices.DeleteFunc(slices.Clone(instances), func(i consul.Instance) bool {
		return !slices.Contains(i.Tags, consul.ActiveTag) || i.Port == 0 || !i.Of(cluster)
	})
	slices.SortStableFunc(candidates, func(a, b consul.Instance) int {
		epochA, sickA := rank(a)
		epochB, sickB := rank(b)
		return cmp.Or(cmp.Compare(epochB, epochA), cmp.Compare(sickA, sickB))
	})
	for _, i := range candidates {
		addresses = append(addresses, i.HostPort())
	}
	return addresses
}

// hosts knows the active connector host, or the few that say so.
type hosts struct {
	log *slog.Logger

	mu      sync.Mutex
	active  []string
	changed chan struct{} // closed and replaced at each change
	closed  bool
}

func newHosts(log *slog.Logger) *hosts { return &hosts{log: log, changed: make(chan struct{})} }

func (h *hosts) set(active []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Equal(h.active, active) || h.closed {
		return
	}
	h.log.Info("the active connector host has changed", "was", h.active, "is", active)
	h.active = active
	close(h.changed)
	h.changed = make(chan struct{})
}

// get returns the host for the n-th try, from 0, and a channel that is closed when things have changed. The first one is
// tried first; where there are others, they get their turn, because one that is dead may not have been found out yet.
func (h *hosts) get(n int) (address string, changed <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return "", h.changed, errors.New("the server is stopping")
	case len(h.active) == 0:
		return "", h.changed, nil
	}
	return h.active[n%len(h.active)], h.changed, nil
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
