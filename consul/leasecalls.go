package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// lockDelay is how long a key stays locked after its session has died. The library leaves out 0, for which Consul puts 15
// s.
const lockDelay = time.Millisecond

// leaseCalls are the calls of a lease to a real Consul.
type leaseCalls struct{ client *Client }

// newLeaseCalls makes calls that are less patient than the client's: an answer that got lost on its way must not leave a
// host waiting for it while the lease is free. So it is when Consul's leader is cut off: what the agent has asked it for
// hangs, until a second behind its wait, while the next leader, elected one to three seconds later, frees the lease; and
// nobody tells of that leader if the agent does not.
func newLeaseCalls(client *Client) leaseCalls {
	hasty := *client
	hasty.timeout, hasty.wait = 500*time.Millisecond, time.Second
	return leaseCalls{&hasty}
}

func (l leaseCalls) explain(doing string, err error) error { return l.client.explain(doing, err) }

func (l leaseCalls) pass(ctx context.Context, check string) error {
	options := (&api.QueryOptions{}).WithContext(ctx)
	err := l.client.api.Agent().UpdateTTLOpts(check, "alive", api.HealthPassing, options)
	if statusCode(err) == http.StatusNotFound {
		err = errNoCheck
	}
	return l.explain(fmt.Sprintf("pass check %q", check), err)
}

func (l leaseCalls) open(ctx context.Context, name, check string) (string, error) {
	entry := api.SessionEntry{
		Name: name, LockDelay: lockDelay, Behavior: api.SessionBehaviorRelease,
		NodeChecks: []string{"serfHealth"}, ServiceChecks: []api.ServiceCheck{{ID: check}},
	}
	session, _, err := l.client.api.Session().Create(&entry, (&api.WriteOptions{}).WithContext(ctx))
	return session, l.explain(fmt.Sprintf("create a session bound to check %q", check), err)
}

func (l leaseCalls) destroy(ctx context.Context, session string) error {
	_, err := l.client.api.Session().Destroy(session, (&api.WriteOptions{}).WithContext(ctx))
	return l.explain("destroy session "+session, err)
}

func (l leaseCalls) read(ctx context.Context, key string, index uint64) (lock, uint64, error) {
	options, cancel := l.client.queryOptions(ctx, index, "")
	defer cancel()
	options.RequireConsistent = true
	pair, meta, err := l.client.api.KV().Get(key, options)
	if err == nil && meta.LastIndex == 0 {
		err = errNoIndex
	}
	if err != nil {
		return lock{}, 0, l.explain(fmt.Sprintf("read lease %q", key), err)
	}
	return newLock(pair), meta.LastIndex, nil
}

func (l leaseCalls) acquire(ctx context.Context, key, session string, value, text []byte, read lock, seen *trace) error {
	operations := []*api.KVTxnOp{unchanged(key, read.index, read.found)}
	if seen != nil {
		operations = append(operations, unchanged(traceKey(key), seen.index, seen.index != 0))
	}
	err := l.transact(ctx, append(operations, locking(key, session, value), tracing(key, text)))
	if failed, ok := errors.AsType[refused](err); ok && seen != nil && failed.only(1) {
		err = errTraced
	}
	return l.explain(fmt.Sprintf("acquire lease %q", key), err)
}

func (l leaseCalls) rewrite(ctx context.Context, key, session string, value []byte) error {
	err := l.transact(ctx, []*api.KVTxnOp{heldBy(key, session), locking(key, session, value)})
	return l.explain(fmt.Sprintf("write lease %q", key), err)
}

func (l leaseCalls) beat(ctx context.Context, key, session string, text []byte) error {
	err := l.transact(ctx, []*api.KVTxnOp{heldBy(key, session), tracing(key, text)})
	return l.explain(fmt.Sprintf("leave a beat of lease %q", key), err)
}

func (l leaseCalls) trace(ctx context.Context, key string, index uint64) (newest, newIndex uint64, err error) {
	options, cancel := l.client.queryOptions(ctx, index, "")
	defer cancel()
	// Of the leader, though not for sure: any other server learns a twentieth of a second later what it has committed.
	pair, meta, err := l.client.api.KV().Get(traceKey(key), options)
	if err == nil && meta.LastIndex == 0 {
		err = errNoIndex
	}
	if err != nil {
		return 0, 0, l.explain(fmt.Sprintf("read the beats of lease %q", key), err)
	}
	if pair != nil {
		newest = pair.ModifyIndex
	}
	return newest, meta.LastIndex, nil
}

func (l leaseCalls) leader(ctx context.Context) (string, error) {
	return l.client.api.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
}

// unchanged is the condition that a key was not written since it was read.
func unchanged(key string, index uint64, found bool) *api.KVTxnOp {
	if !found {
		return &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key}
	}
	return &api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: index}
}

// heldBy is the condition that a session holds a key.
func heldBy(key, session string) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVCheckSession, Key: key, Session: session}
}

// locking sets the value and the session of a key.
func locking(key, session string, value []byte) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVLock, Key: key, Session: session, Value: value}
}

// tracing leaves a trace beside a key.
func tracing(key string, text []byte) *api.KVTxnOp {
	return &api.KVTxnOp{Verb: api.KVSet, Key: traceKey(key), Value: text}
}

// transact does all of the operations, or none if a condition among them does not hold.
func (l leaseCalls) transact(ctx context.Context, operations []*api.KVTxnOp) error {
	all := make(api.TxnOps, len(operations))
	for i, operation := range operations {
		all[i] = &api.TxnOp{KV: operation}
	}
	done, answer, _, err := l.client.api.Txn().Txn(all, (&api.QueryOptions{}).WithContext(ctx))
	if err == nil && !done {
		err = refused(answer.Errors)
	}
	return err
}

// refused says why a transaction was refused.
type refused api.TxnErrors

// only says whether nothing but this operation failed.
func (r refused) only(operation int) bool {
	return !slices.ContainsFunc(r, func(failed *api.TxnError) bool { return failed.OpIndex != operation })
}

// Error is what Consul says.
func (r refused) Error() string {
	var said []string
	for _, failed := range r {
		said = append(said, failed.What)
	}
	return strings.Join(said, "; ")
}

// Unwrap tells what kind of refusal it is by Consul's words: there is nothing else.
func (r refused) Unwrap() error {
	text := r.Error()
	switch {
	case strings.Contains(text, "Permission denied"):
		return api.StatusError{Code: http.StatusForbidden, Body: text}
	case strings.Contains(text, "lock delay"):
		return errLockDelay
	case strings.Contains(text, "invalid session"):
		return errNoSession
	case strings.Contains(text, "failed index check"), strings.Contains(text, "already held"),
		strings.Contains(text, "exist"), strings.Contains(text, "failed session check"):
		return errOvertaken
	}
	return nil
}

func (l leaseCalls) release(ctx context.Context, key, session string, value []byte) error {
	pair := api.KVPair{Key: key, Session: session, Value: value}
	done, _, err := l.client.api.KV().Release(&pair, (&api.WriteOptions{}).WithContext(ctx))
	if err == nil && !done {
		err = errNoSession
	}
	return l.explain(fmt.Sprintf("release lease %q", key), err)
}
