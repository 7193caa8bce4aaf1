package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"zatoha/consul"
)

const (
	// lookInterval is how often the lease is read and the active host is asked.
	lookInterval = time.Second
	// lookTimeout bounds each of the two.
	lookTimeout = 900 * time.Millisecond
	maxAnswer   = 4 << 20 // bytes
)

// Consul is what is needed of it.
type Consul interface {
	Watch(ctx context.Context, service string, observe func(consul.Observation))
	LeaseHolder(ctx context.Context, key string) (consul.LeaseStatus, error)
}

// Watcher follows the connector hosts. Its methods may be called from several goroutines.
type Watcher struct {
	consul           Consul
	service, cluster string
	client           *http.Client
	changed          chan struct{} // holds one if Consul has told of a change

	mu        sync.Mutex
	seen      bool // Consul has told of the hosts
	instances []consul.Instance
	report    Report
}

// New makes a watcher of the hosts of a cluster that are registered as the service.
func New(store Consul, service, cluster string) *Watcher {
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Watcher{
		consul: store, service: service, cluster: cluster, changed: make(chan struct{}, 1),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: refuse},
	}
}

// Run follows the hosts until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.consul.Watch(ctx, w.service, w.observe)
	}()
	defer func() { <-watched }()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.changed:
		}
		w.look(ctx)
	}
}

// observe takes what Consul says. Without its word the hosts stay as they were known last.
func (w *Watcher) observe(o consul.Observation) {
	if o.Err != nil {
		return
	}
	w.mu.Lock()
	w.seen, w.instances = true, o.Snapshot.Instances
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Report is what was learned last; nil if there are no connector hosts, and never was an active one. It must not be
// changed.
func (w *Watcher) Report() *Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.report.Hosts) == 0 && w.report.Lease.Epoch == 0 {
		return nil
	}
	report := w.report
	return &report
}

// look reads the lease, and asks the host that holds it. Where all hosts are gone, the lease tells that there were some.
func (w *Watcher) look(ctx context.Context) {
	w.mu.Lock()
	seen, instances, last := w.seen, w.instances, w.report
	w.mu.Unlock()
	if !seen {
		return
	}
	next := Report{Connectors: []Connector{}, Refused: []Refusal{}, Lease: w.lease(ctx, last.Lease)}
	next.Hosts = newHosts(instances, w.cluster, next.Lease)
	w.ask(ctx, &next, instances)
	if ctx.Err() != nil {
		return // what failed, failed for that
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = next
}

// lease reads it. One that cannot be read is as it was last.
func (w *Watcher) lease(ctx context.Context, last Lease) Lease {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	status, err := w.consul.LeaseHolder(ctx, consul.LeaseKey(w.cluster))
	if err != nil {
		last.Error = err.Error()
		return last
	}
	h := status.Holder
	return Lease{Known: true, Held: status.Held, Host: h.Host, Epoch: h.Epoch, Since: h.Since}
}

// ask has the active host say how its connectors do. If it does not, Consul's checks are asked.
func (w *Watcher) ask(ctx context.Context, r *Report, instances []consul.Instance) {
	active, ok := r.Active()
	if !ok {
		return
	}
	told, err := w.fetch(ctx, active.Address)
	if err == nil {
		r.Connectors, r.Refused = told.connectors(), append(r.Refused, told.Refused...)
		return
	}
	r.Error = err.Error()
	i := slices.IndexFunc(instances, func(i consul.Instance) bool { return i.ID == active.ID })
	r.Connectors = byChecks(instances[i]) // the host was made of it
}

// fetch reads /connectors of the host at an address.
func (w *Watcher) fetch(ctx context.Context, address string) (told answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/connectors", nil)
	if err != nil {
		return told, err
	}
	response, err := w.client.Do(request)
	switch {
	case ctx.Err() != nil:
		return told, fmt.Errorf("no answer in %v from http://%s/connectors", lookTimeout, address)
	case err != nil:
		return told, fmt.Errorf("http://%s/connectors: %w", address, errors.Unwrap(err)) // the URL would be named again
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return told, fmt.Errorf("http://%s/connectors: %s", address, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&told); err != nil {
		return told, fmt.Errorf("http://%s/connectors: the answer is none of a connector host: %w", address, err)
	}
	return told, nil
}
