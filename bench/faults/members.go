package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"zatoha/bench/pause"
	"zatoha/bench/peer"
	"zatoha/deploy/cluster"
)

// guests are instances that come and go. Each takes some milliseconds for a request, so that some are in flight when
// it goes.
type guests struct {
	p       *play
	servers []*httptest.Server
	present []bool
}

func (p *play) guests(n int) *guests {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = pause.For(r.Context(), 5*time.Millisecond) })
	g := &guests{p: p, present: make([]bool, n)}
	for range n {
		g.servers = append(g.servers, httptest.NewServer(handler))
	}
	return g
}

// close takes them out of the catalog and, when that has reached HAProxy, ends them.
func (g *guests) close(ctx context.Context) error {
	for i, present := range g.present {
		if present {
			if err := g.toggle(ctx, i); err != nil {
				return err
			}
		}
	}
	err := g.p.whole(ctx)
	if g.p.running != nil {
		_ = pause.For(ctx, settling) // for what is in flight
	}
	for _, server := range g.servers {
		server.Close()
	}
	return err
}

func guest(i int) string { return fmt.Sprintf("guest-%d", i+1) }

// toggle registers the guest or deregisters it, and waits until HAProxy follows.
func (g *guests) toggle(ctx context.Context, i int) error {
	var err error
	if g.present[i] {
		err = g.p.Deregister(ctx, guest(i))
	} else {
		err = g.p.Register(ctx, cluster.Registration{
			ID: guest(i), Service: service, Address: g.servers[i].Listener.Addr().String(), Weight: 1 + i%3,
			Tags: []string{peer.FabioTag, guest(i)}, Passing: true,
		})
	}
	if err != nil {
		return err
	}
	g.present[i] = !g.present[i]
	return g.p.await(ctx, func(s cluster.Status) bool { return slices.Contains(s.Rotation, guest(i)) == g.present[i] })
}

// changeMembers makes n changes in the slots that there are.
func changeMembers(n int) fault {
	return func(ctx context.Context, p *play) error {
		g := p.guests(guestSlots)
		before, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if err := g.churn(ctx, n); err != nil {
			return err
		}
		after, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if after.HAProxy.Worker != before.HAProxy.Worker {
			p.Fail("haproxy was reloaded: %v", after.Sync.Reloads)
		}
		if made := after.Sync.Changes - before.Sync.Changes; made < n {
			p.Fail("the controller made %d changes of %d", made, n)
		}
		return g.close(ctx)
	}
}

// guestSlots are those that ten slots have beside three servers.
const guestSlots = 7

// A peer gets some time after each change, as HAProxy's master loses a signal to reload that comes while it reloads; if
// it does so all the same, only the next change brings it up to date.
const (
	reloadTime   = 250 * time.Millisecond
	peerPatience = 5 * time.Second
)

// changePeer makes n changes, one after the other, each of which takes a reload.
func changePeer(n int) fault {
	return func(ctx context.Context, p *play) error {
		g := p.guests(guestSlots)
		for i := range n {
			if err := g.changePeer(ctx, i%guestSlots); err != nil {
				return err
			}
		}
		for i, present := range g.present {
			if present {
				if err := g.changePeer(ctx, i); err != nil {
					return err
				}
			}
		}
		return g.close(ctx)
	}
}

// changePeer is toggle, but a peer need not follow.
func (g *guests) changePeer(ctx context.Context, i int) error {
	began := time.Now()
	patient, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	if err := g.toggle(patient, i); err != nil && patient.Err() == nil {
		return err
	}
	g.p.Measure("a change, or 5 s if it was lost", time.Since(began), 0)
	return pause.For(ctx, reloadTime)
}

// churn makes n changes, each waited for, and compares HAProxy with Consul in the end.
func (g *guests) churn(ctx context.Context, n int) error {
	for i := range n {
		began := time.Now()
		if err := g.toggle(ctx, i%len(g.servers)); err != nil {
			return err
		}
		g.p.Measure("a change", time.Since(began), 0)
	}
	return g.p.compare(ctx)
}

// grow adds guests to a backend that has no slot for them, then makes changes.
func grow(reloads, changes int) fault {
	return func(ctx context.Context, p *play) error {
		g := p.guests(reloads)
		for i := range reloads {
			before, err := p.Status(ctx)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := g.toggle(ctx, i); err != nil {
				return err
			}
			p.Measure("a reload", time.Since(began), 0)
			if after, err := p.Status(ctx); err != nil || after.HAProxy.Worker == before.HAProxy.Worker {
				p.Fail("%s came without a reload (%v)", guest(i), err)
			}
		}
		if err := g.churn(ctx, changes); err != nil {
			return err
		}
		return g.close(ctx)
	}
}
