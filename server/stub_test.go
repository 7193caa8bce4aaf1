package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"zatoha/consul"
)

// stubAgent is a Consul agent with one service, and the load balancer behind it. What it was asked to change is a
// conversation to compare with, each line with the time since the start.
type stubAgent struct {
	start time.Time

	mu          sync.Mutex
	away        bool             // nothing can be asked or changed
	instance    *consul.Instance // nil if not registered
	acknowledge time.Duration    // after the announcement the load balancer writes the key; 0: never
	announced   time.Time
	staleAck    bool              // the key is there from before
	meta        map[string]string // of the last registration
	tree        []consul.Pair
	epochLock   []byte // value of the connector hosts' key; nil if there is none
	lines       []string
}

var errAway = errors.New("connection refused")

func (a *stubAgent) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.lines, "\n")
}

func (a *stubAgent) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// change notes what was asked for, and does it unless the agent is away or ctx has ended.
func (a *stubAgent) change(ctx context.Context, do func(), format string, args ...any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := fmt.Sprintf("%v %s", time.Since(a.start).Round(100*time.Millisecond), fmt.Sprintf(format, args...))
	if a.away {
		a.lines = append(a.lines, line+": away")
		return errAway
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.lines = append(a.lines, line)
	do()
	return nil
}

// poll asks ten times a second.
func poll(ctx context.Context, ask func()) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		ask()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (a *stubAgent) Watch(ctx context.Context, service string, observe func(consul.Observation)) {
	poll(ctx, func() {
		a.mu.Lock()
		o := consul.Observation{Snapshot: consul.Snapshot{Service: service, Instances: []consul.Instance{{ID: "another"}}}}
		if a.away {
			o = consul.Observation{Err: errAway}
		} else if a.instance != nil {
			o.Snapshot.Instances = append(o.Snapshot.Instances, *a.instance)
		}
		a.mu.Unlock()
		observe(o)
	})
}

func (a *stubAgent) KeepRegistered(ctx context.Context, r consul.Registration, report func(error)) error {
	if r.ID == "refused" {
		return errors.New("not a valid registration")
	}
	registered := false
	poll(ctx, func() {
		if registered {
			return
		}
		err := a.change(ctx, func() {
			if a.instance == nil {
				a.instance = &consul.Instance{ID: r.ID, Status: r.Check.InitialStatus}
			}
			registered, a.meta = true, r.Meta
		}, "register %s at %s:%d %s", r.ID, r.Address, r.Port, r.Check.InitialStatus)
		report(err)
	})
	return nil
}

func (a *stubAgent) Deregister(ctx context.Context, id string) error {
	return a.change(ctx, func() { a.instance = nil }, "deregister %s", id)
}

func (a *stubAgent) SetMaintenance(ctx context.Context, id string, on bool, reason string) error {
	return a.change(ctx, func() { a.announced = time.Now() }, "maintenance %s %t %q", id, on, reason)
}

func (a *stubAgent) Delete(ctx context.Context, key string) error {
	return a.change(ctx, func() { a.staleAck = false }, "delete %s", key)
}

func (a *stubAgent) WatchKey(ctx context.Context, key string, observe func(consul.KeyObservation)) {
	poll(ctx, func() {
		a.mu.Lock()
		o := consul.KeyObservation{Pair: consul.Pair{Key: key}}
		o.Pair.Found = a.staleAck || a.acknowledge > 0 && time.Since(a.announced) >= a.acknowledge
		if strings.HasSuffix(key, "/connector-server") {
			o.Pair.Found, o.Pair.Value = a.epochLock != nil, a.epochLock
		}
		if a.away {
			o = consul.KeyObservation{Err: errAway}
		}
		a.mu.Unlock()
		observe(o)
	})
}

func (a *stubAgent) WatchTree(ctx context.Context, prefix string, observe func(consul.TreeObservation)) {
	poll(ctx, func() {
		a.mu.Lock()
		o := consul.TreeObservation{Pairs: a.tree}
		if a.away {
			o = consul.TreeObservation{Err: errAway}
		}
		a.mu.Unlock()
		observe(o)
	})
}
