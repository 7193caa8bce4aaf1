package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

// Holder is what the value of a lease's key says: who holds the lease, or held it last.
type Holder struct {
	Epoch   uint64    `json:"epoch"` // fencing number; only ever grows
	Host    string    `json:"host"`  // service ID
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	Check   string    `json:"check"`  // the TTL check that its session is bound to
	Traces  bool      `json:"traces"` // each beat that succeeds leaves a trace, see [traceKey]
	// Settled says that nobody who held the lease before can be at work any more.
	Settled   bool   `json:"settled"`
	Released  bool   `json:"released,omitempty"`  // the holder has stopped, and gave the lease up
	Successor string `json:"successor,omitempty"` // in whose favour
}

// LeaseKey is the key by which a cluster's connector hosts agree on the one that is active.
func LeaseKey(cluster string) string { return clusterPrefix(cluster) + "connector-server" }

// traceKey is where the beats of a lease's holder leave their trace: a text that is another one each time.
func traceKey(leaseKey string) string { return leaseKey + "-beat" }

// lock is the state of a lease's key at one moment.
type lock struct {
	found   bool
	index   uint64 // of the last change of the key
	session string // that holds it, or ""
	holder  Holder // zero if the value is none of ours
}

func (l lock) free() bool { return l.session == "" }

func newLock(pair *api.KVPair) lock {
	if pair == nil {
		return lock{}
	}
	l := lock{found: true, index: pair.ModifyIndex, session: pair.Session}
	if err := json.Unmarshal(pair.Value, &l.holder); err != nil {
		l.holder = Holder{} // somebody else's value: nothing is known of who held it last
	}
	return l
}

// LeaseStatus is the state of a lease as anybody may read it.
type LeaseStatus struct {
	Held   bool // somebody holds it now
	Holder Holder
}

// LeaseHolder reads who holds a lease.
func (c *Client) LeaseHolder(ctx context.Context, key string) (LeaseStatus, error) {
	l, _, err := newLeaseCalls(c).read(ctx, key, 0)
	return LeaseStatus{Held: !l.free(), Holder: l.holder}, err
}

var (
	// errLockDelay says that a key was lost by its holder an instant ago.
	errLockDelay = errors.New("the key cannot be locked yet")
	// errNoCheck says that the agent does not know a check, perhaps not yet.
	errNoCheck = errors.New("the agent has no such check")
	// errNoSession says that a session is over, or never was.
	errNoSession = errors.New("the session is gone")
	// errOvertaken says that a key has changed since it was read.
	errOvertaken = errors.New("somebody else changed the key first")
	// errTraced says that there is another trace of a beat than was seen.
	errTraced = errors.New("there was another beat")
)

// leaseAPI is what a competitor asks of Consul. Each call ends with its context at the latest.
type leaseAPI interface {
	// pass tells the agent that whom the check is about is alive.
	pass(ctx context.Context, check string) error
	// open creates a session that ends when the check, or the node, turns critical.
	open(ctx context.Context, name, check string) (session string, err error)
	// destroy ends a session; it is no error if there is none.
	destroy(ctx context.Context, session string) error
	// read returns the key's state, never a stale one: at once if index is 0, else when the state has passed the index.
	read(ctx context.Context, key string, index uint64) (lock, uint64, error)
	// acquire locks the key if it still is as it was read, writes its value, and leaves a first trace beside it. With a
	// trace that was seen, that must still be the newest one, or the error is errTraced.
	acquire(ctx context.Context, key, session string, value, text []byte, read lock, seen *trace) error
	// rewrite changes the value of the key if the session holds it.
	rewrite(ctx context.Context, key, session string, value []byte) error
	// release unlocks the key and writes its value, if the session holds it; otherwise the error is errNoSession.
	release(ctx context.Context, key, session string, value []byte) error
	// beat leaves a trace beside the key if the session holds it; otherwise the error is errOvertaken.
	beat(ctx context.Context, key, session string, text []byte) error
	// trace returns the index of the newest trace, 0 if there is none, perhaps not of this moment: at once if index is 0,
	// else when it has passed the index.
	trace(ctx context.Context, key string, index uint64) (newest, newIndex uint64, err error)
	// leader returns the address of the server that leads, as far as the agent knows, or "" if its servers know none.
	leader(ctx context.Context) (string, error)
}

func encode[T Holder | beatTrace](value T) []byte {
	text, err := json.Marshal(value)
	if err != nil { // cannot be: it is made of strings, numbers and a time of this century
		panic(fmt.Sprintf("consul: %v", err))
	}
	return text
}
