package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Observation is what a watch learned: a whole state, or why it could not be read just now.
type Observation struct {
	Snapshot Snapshot // zero if Err is set
	Err      error
}

var (
	errNoIndex = errors.New("the answer has no X-Consul-Index")
	errHidden  = errors.New("the answer leaves out what the token may not read")
)

// Watch follows a service and returns when ctx has ended. It calls observe, from this goroutine, with the first state,
// with every changed one, and with every failed attempt (about one a second while Consul is away). An error says nothing
// about the instances: the last snapshot remains the best that is known. The first snapshot after an error may equal the
// last one before it. States that follow each other fast are merged, so that there are ten a second in the long run, and
// so are those that came while observe ran.
func (c *Client) Watch(ctx context.Context, service string, observe func(Observation)) {
	c.watch(ctx, calmly, service, observe)
}

// WatchClosely is Watch for who has to act at once: there may be a hundred states a second. It also observes an error
// within seconds when Consul has no leader or its agent is frozen, where the agent may have no error for a watch, and the
// last snapshot again when that is over. The calls may then come from another goroutine, one at a time.
func (c *Client) WatchClosely(ctx context.Context, service string, observe func(Observation)) {
	o := &overseer{observe: observe}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.run(ctx, c.Ping)
	}()
	c.watch(ctx, closely, service, o.saw)
	<-done
}

func (c *Client) watch(ctx context.Context, pace pace, service string, observe func(Observation)) {
	q := &serviceQuery{client: c, service: service, filters: filters{}, urgent: pace == closely}
	equal := func(a, b Snapshot) bool { return slices.EqualFunc(a.Instances, b.Instances, Instance.equal) }
	watch(ctx, pace, q.ask, equal, func(s Snapshot, err error) { observe(Observation{Snapshot: s, Err: err}) })
}

// question is what is asked about a service.
type question struct {
	index  uint64 // of the state that is known: the answer waits for another; 0 to have one at once
	filter string // for instances; all if it is empty
	direct bool   // of Consul's servers, not of the agent
}

// snapshot asks once. An answer that may be partial is an error: handed on, it would look like a removal.
func (c *Client) snapshot(ctx context.Context, service string, q question, entries *entries) (_ Snapshot, err error) {
	defer func() { err = c.explain(fmt.Sprintf("watch service %q", service), err) }()
	options, cancel := c.queryOptions(ctx, q.index, "")
	defer cancel()
	options.Filter = q.filter
	if q.direct {
		options.Near = "_agent" // agents cannot tell who is near, so they pass the question on
	}
	var instances []Instance
	ctx = readingBody(options.Context(), func(body io.Reader) (err error) {
		instances, err = entries.decode(body)
		return err
	})
	_, meta, err := c.api.Health().Service(service, "", false, options.WithContext(ctx))
	switch {
	case err != nil:
		return Snapshot{}, err
	case meta.LastIndex == 0:
		return Snapshot{}, errNoIndex
	case meta.ResultsFilteredByACLs:
		return Snapshot{}, errHidden
	}
	return Snapshot{Service: service, Index: meta.LastIndex, Instances: instances}, nil
}
