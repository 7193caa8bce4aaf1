package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// lockDelay is how long a key stays locked after its session has died. The library leaves out 0, for which Consul
	// puts 15 s.
	lockDelay = time.Millisecond
	// expiredOutput begins the output of a check whose TTL has passed, and of no other.
	expiredOutput = "TTL expired"
)

// leaseCalls are the calls of a lease to a real Consul.
type leaseCalls struct{ client *Client }

// newLeaseCalls makes calls that are less patient than the client's: an answer that got lost on its way must not leave a
// host waiting for it while the lease is free. So it is when Consul's leader is cut off: what the agent has asked it for
// hangs, until a second behind its wait, while the next leader, whom it takes two to four seconds to elect, frees the lease.
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

func (l leaseCalls) acquire(ctx context.Context, key, session string, value []byte, read lock) error {
	unchanged := &api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: read.index}
	if !read.found {
		unchanged = &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key}
	}
	return l.lock(ctx, "acquire", unchanged, key, session, value)
}

func (l leaseCalls) rewrite(ctx context.Context, key, session string, value []byte) error {
	held := &api.KVTxnOp{Verb: api.KVCheckSession, Key: key, Session: session}
	return l.lock(ctx, "write", held, key, session, value)
}

// lock sets the value and the session of the key at one stroke, if the condition holds.
func (l leaseCalls) lock(ctx context.Context, verb string, condition *api.KVTxnOp, key, session string, value []byte) error {
	set := &api.KVTxnOp{Verb: api.KVLock, Key: key, Session: session, Value: value}
	operations := api.TxnOps{{KV: condition}, {KV: set}}
	done, answer, _, err := l.client.api.Txn().Txn(operations, (&api.QueryOptions{}).WithContext(ctx))
	if err == nil && !done {
		err = refusal(answer.Errors)
	}
	return l.explain(fmt.Sprintf("%s lease %q", verb, key), err)
}

// refusal tells by Consul's words, there is nothing else, why a transaction was refused.
func refusal(failures api.TxnErrors) error {
	var said []string
	for _, failure := range failures {
		said = append(said, failure.What)
	}
	text := strings.Join(said, "; ")
	switch {
	case strings.Contains(text, "Permission denied"):
		return api.StatusError{Code: http.StatusForbidden, Body: text}
	case strings.Contains(text, "lock delay"):
		return errLockDelay
	case strings.Contains(text, "invalid session"):
		return errNoSession
	case strings.Contains(text, "failed index check"), strings.Contains(text, "already held"),
		strings.Contains(text, "exist"), strings.Contains(text, "failed session check"):
		return fmt.Errorf("%w: %s", errOvertaken, text)
	}
	return errors.New(text)
}

func (l leaseCalls) release(ctx context.Context, key, session string, value []byte) error {
	pair := api.KVPair{Key: key, Session: session, Value: value}
	done, _, err := l.client.api.KV().Release(&pair, (&api.WriteOptions{}).WithContext(ctx))
	if err == nil && !done {
		err = errNoSession
	}
	return l.explain(fmt.Sprintf("release lease %q", key), err)
}

func (l leaseCalls) expired(ctx context.Context, service, check string) (bool, error) {
	options := &api.QueryOptions{RequireConsistent: true}
	checks, meta, err := l.client.api.Health().Checks(service, options.WithContext(ctx))
	if err == nil && meta.ResultsFilteredByACLs {
		err = errHidden
	}
	if err != nil {
		return false, l.explain(fmt.Sprintf("read the checks of service %q", service), err)
	}
	for _, candidate := range checks {
		if candidate.CheckID == check {
			return candidate.Status == api.HealthCritical && strings.HasPrefix(candidate.Output, expiredOutput), nil
		}
	}
	return false, nil
}
