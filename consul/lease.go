package consul

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Lease says which lease is competed for, by whom, and how.
//
// The rules by which two hosts never act at the same time, each of which holds alone what the others cannot:
//
//   - The holder's session is bound to a TTL check of its own, which it passes every Beat. Consul ends the session, and
//     with it the lock, at the earliest one TTL after a beat was begun.
//   - A beat passes the check, which the agent does by itself, and then leaves a trace beside the key, in a transaction
//     that the lock must still be there for. That takes the Consul servers: an agent that is cut off from them confirms
//     nothing.
//   - The holder stops at 80 % of the TTL after the start of the last beat that succeeded, and has the other 20 % to
//     have stopped. It waits for no answer to do so.
//   - Who takes the lock acts at once only if the last holder has written that it stopped, or if the newest trace of a
//     beat is one that it has itself seen a whole TTL ago: nobody's beat has succeeded since. Seen more lately, it holds
//     the lock for the rest of the TTL before it acts, and for a whole one where it knows nothing (it has just started, a
//     key was deleted).
//   - The lock is taken by a transaction on the very state, and the very trace, that was judged so. The epoch is written
//     with it, and a first trace: it counts as a beat, if it was quick.
//
// A host that was fenced more than once in a row leaves the lease to others for a while before it takes it again: for one
// TTL, then for two, for four at most.
//
// No clock of another machine takes part in this, only how fast they run; nor what Consul makes of a check or of a node.
type Lease struct {
	Key     string
	Host    string // this one's service ID
	Address string // where others reach it
	Check   string // its TTL check; another one for each process, see [TTLCheck]
	TTL     time.Duration
	Beat    time.Duration // how often the check is passed; at most a quarter of the TTL leaves room for failures

	// Hold acts as the holder until the tenure's context ends, or it is leaving and everything is finished. Nothing may
	// act any more when it returns. It is called from one goroutine, once for each tenure.
	Hold func(*Tenure)
	// Observe is told the state after each change, one call at a time.
	Observe func(LeaseState)
	// Beaten is told of each beat that has ended, how long it took, and whether it got through; it may be called from
	// several goroutines. May be nil.
	Beaten func(took time.Duration, err error)
}

// Role is what a competitor is just now.
type Role string

// The roles. A host that is taking over holds the lock and does not act yet.
const (
	Standby    Role = "standby"
	TakingOver Role = "taking over"
	Active     Role = "active"
)

// LeaseState is what a competitor knows of the lease and of itself.
type LeaseState struct {
	Role   Role
	Status LeaseStatus // as last read, perhaps before a failure
	Err    error       // what fails just now
}

// Validate reports every fault of the lease at once, by field.
func (l Lease) Validate() error {
	var faults []error
	refuse := func(bad bool, field, why string) {
		if bad {
			faults = append(faults, fmt.Errorf("%s %s", field, why))
		}
	}
	refuse(l.Key == "", "Key", "is empty")
	refuse(l.Host == "", "Host", "is empty")
	refuse(l.Check == "", "Check", "is empty")
	refuse(l.TTL <= 0, "TTL", "is not positive")
	refuse(l.Beat <= 0 || l.Beat > l.TTL/2, "Beat", fmt.Sprintf("is %v, not between 0 and half of the TTL", l.Beat))
	refuse(l.Hold == nil, "Hold", "is nil")
	refuse(l.Observe == nil, "Observe", "is nil")
	if faults == nil {
		return nil
	}
	return fmt.Errorf("lease %q: %w", l.Key, errors.Join(faults...))
}

// Compete competes for a lease until ctx ends, and holds it whenever it can. It returns nil when ctx has ended, the
// holder has stopped, and the lease is released; and at once an error if the lease is not valid. The check must be kept
// registered meanwhile, see [Client.KeepRegistered]; until it is, nothing is won.
func (c *Client) Compete(ctx context.Context, lease Lease) error {
	if err := lease.Validate(); err != nil {
		return err
	}
	newCompetitor(lease, newLeaseCalls(c)).run(ctx)
	return nil
}

// competitor is one host that wants a lease.
type competitor struct {
	Lease
	api      leaseAPI
	fence    time.Duration // how long a beat that succeeded is good for, from its start
	settle   time.Duration // how long to hold the lock before acting if the last holder may not have stopped
	timeout  time.Duration // of a call that is no beat
	patience time.Duration // how long others leave a lease to the successor that its holder has named

	current atomic.Pointer[Tenure] // which the beats confirm, nil while there is none
	hurry   chan struct{}          // makes the next beat begin at once
	passed  atomic.Int64           // start of the newest beat that passed the check, in nanoseconds since began; 0 before the first
	began   time.Time
	contact contact
	stale   *bell // rung when what waits for an answer is to be asked anew
	seen    *latest[lock]
	trace   *latest[trace]
	told    teller

	// Only the goroutine of run uses what follows.
	session  string             // open, and never used for a tenure that has ended; or ""
	spent    map[string]*Holder // sessions that may still be there, with what to write when their lock is released, or nil
	refusals int                // of a session, in a row
	backoff  fenceBackoff
	highest  uint64 // epoch that was ever seen
}

func newCompetitor(lease Lease, api leaseAPI) *competitor {
	return &competitor{
		Lease: lease, api: api, fence: lease.TTL * 8 / 10, settle: lease.TTL, timeout: max(lease.TTL, time.Second),
		patience: 2 * lease.TTL, stale: newBell(), seen: newLatest[lock](), trace: newLatest[trace](), told: teller{observe: lease.Observe, last: LeaseState{Role: Standby}},
		spent: map[string]*Holder{}, hurry: make(chan struct{}, 1), began: time.Now(), backoff: fenceBackoff{ttl: lease.TTL},
	}
}

// run competes until ctx ends. The beats and the watch of the key live longer: until the lease is released.
func (c *competitor) run(ctx context.Context) {
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { c.beats(alive) })
	helpers.Go(func() { c.follow(alive) })
	helpers.Go(func() { c.followTraces(alive) })
	helpers.Go(func() { c.lookOut(alive) })
	for {
		taken := c.win(ctx)
		if taken == nil {
			break
		}
		if left := c.serve(ctx, *taken); left {
			sleep(ctx, c.Beat) // another one is at work just now, and a session to take the lock with is not urgent
		}
	}
	c.closeSessions(alive)
	end()
	helpers.Wait()
}

// follow keeps seen up to date.
func (c *competitor) follow(ctx context.Context) {
	ask := func(ctx context.Context, index uint64) (lock, uint64, error) { return c.api.read(ctx, c.Key, index) }
	equal := func(a, b lock) bool { return a == b }
	watch(ctx, urgently.unless(c.stale), ask, equal, func(l lock, err error) {
		c.told.failing("follow", err)
		if err == nil {
			c.told.tell(func(s *LeaseState) { s.Status = LeaseStatus{Held: !l.free(), Holder: l.holder} })
			c.seen.set(l)
		}
	})
}

// trace is the newest trace of a beat, of whichever holder, and when this host saw it first.
type trace struct {
	index uint64 // of its writing; 0 if there is none
	at    time.Time
}

// followTraces keeps trace up to date. That an answer may be out of date, or late, makes a trace seem younger than it is.
func (c *competitor) followTraces(ctx context.Context) {
	ask := func(ctx context.Context, index uint64) (uint64, uint64, error) { return c.api.trace(ctx, c.Key, index) }
	equal := func(a, b uint64) bool { return a == b }
	watch(ctx, urgently.unless(c.stale), ask, equal, func(index uint64, err error) {
		c.told.failing("traces", err)
		if last, known, _ := c.trace.get(); err == nil && (!known || last.index != index) {
			c.trace.set(trace{index: index, at: time.Now()})
		}
	})
}

// contact is whether beats get through, by the one that began last of those that have ended: one that has hung says
// nothing about what came after it.
type contact struct {
	mu     sync.Mutex
	newest time.Time // when that one began
	away   bool
}

// beaten notes how a beat ended, and returns true if it is the first to have got through after one that had not.
func (c *contact) beaten(start time.Time, ok bool) (back bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if start.Before(c.newest) {
		return false
	}
	back = ok && c.away
	c.newest, c.away = start, !ok
	return back
}

// call runs one call with a deadline of its own.
func (c *competitor) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return do(ctx)
}
