// Package reconcile is the loop that keeps HAProxy in step with Consul. It is level-triggered: each round reads the
// whole of both sides, so a missed, merged or repeated event is harmless.
//
// One membership change, walked through: the watcher hands a snapshot to [Loop.Observe], which wakes the loop. The
// round asks package state for a plan, compares the planned pool with the servers that the running HAProxy has, sets
// those that differ through the runtime socket, writes the file to match, and notes what it did for the status page.
// The same comparison repairs what somebody else changed in HAProxy, and brings a restarted HAProxy up to date.
//
// Consul unreachable: the snapshot stays the last one that was seen, so every round keeps what is there (fail static).
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/haproxy"
	"zatoha/lb/state"
)

// DataPlane is what the loop needs of HAProxy.
type DataPlane interface {
	// Servers are the backend's servers as they run.
	Servers(ctx context.Context) ([]haproxy.Server, error)
	// Stats say what each server is doing.
	Stats(ctx context.Context) (haproxy.Stats, error)
	// Set changes running servers, without a reload where it can be, see [haproxy.DataPlane].
	Set(ctx context.Context, changes []haproxy.Change) (haproxy.Rewrite, error)
	// Save writes the servers for the next start of HAProxy, if they are not written already. It reloads an HAProxy that
	// turns out to run on another structure.
	Save(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error)
	// Open has the front take connections again if somebody has stopped that, by a reload if it takes one.
	Open(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error)
	// Rebuild changes the number of servers, by a reload that closes no connection.
	Rebuild(ctx context.Context, servers []haproxy.Server, reason haproxy.Reload) (haproxy.Rewrite, error)
}

// Acknowledger tells a draining instance that it may go.
type Acknowledger interface {
	Get(ctx context.Context, key string) (consul.Pair, error)
	Put(ctx context.Context, key string, value []byte) error
}

// Options of a loop.
type Options struct {
	MaxConn    int // requests at a time of a server whose metadata say nothing; 0 is no limit
	Policy     state.Policy
	Cluster    string              // under whose keys drained instances are acknowledged
	Resync     time.Duration       // the longest time between two rounds
	LastSeen   time.Time           // when Consul answered last, before this loop was made; zero if that is not known
	LastWhole  time.Time           // likewise, when what it said was last followed whole: see [Report]
	Propagated func(time.Duration) // is told how long each change took from Consul's answer to HAProxy

	Grown   func(slots int)       // is called when the backend has got so many slots
	Drained func()                // is called when [Loop.Drained] has changed
	Agreed  func(key string) bool // whether the other load balancers have drained the member too
}

// Loop owns the pool. [Loop.Run] runs the rounds; the other methods may be called from any goroutine.
type Loop struct {
	options   Options
	plane     DataPlane
	acks      Acknowledger
	log       zerolog.Logger
	convert   converter
	wake      chan struct{} // holds one wake-up; more would be the same
	asked     chan struct{} // taken from by the loop itself, between two rounds
	drains    drains        // used by the rounds only
	parting   parting       // likewise
	repairs   attempts      // likewise; to get the backend's slots back by a reload
	growths   attempts      // likewise; to get more slots by a reload
	openings  attempts      // likewise; to have the front take connections again
	ackFailed time.Time     // likewise; when telling drained servers failed last
	underWay  time.Time     // likewise; since when a change is known that HAProxy may not have yet

	mu       sync.Mutex
	released []state.Change // held changes that an operator lets through
	drained  []string       // see [Loop.Drained]
	pool     state.Pool
	latest   *catalogSeen // nil until Consul has answered once
	consul   ConsulReport
	report   Report
}

// catalogSeen is the last snapshot that Consul gave, and when.
type catalogSeen struct {
	catalog  state.Catalog
	snapshot consul.Snapshot // of which the catalog is made
	at       time.Time
}

// New makes a loop that starts from the given pool: the one that HAProxy served last.
func New(pool state.Pool, plane DataPlane, acks Acknowledger, log zerolog.Logger, options Options) *Loop {
	return &Loop{
		options: options, plane: plane, acks: acks, log: log, pool: pool, consul: ConsulReport{Since: options.LastSeen},
		report:  Report{LastWhole: options.LastWhole},
		convert: newConverter(options.MaxConn), drained: []string{},
		wake: make(chan struct{}, 1), asked: make(chan struct{}), drains: drains{}, parting: parting{},
	}
}

// Observe takes what the watch of the balanced service saw.
func (l *Loop) Observe(ctx context.Context, seen consul.Observation) {
	arrived := time.Now()
	if seen.Err == nil {
		if pool, last := l.read(); last == nil {
			l.convert.recall(seen.Snapshot, pool)
		}
		l.convert.prepare(ctx, seen.Snapshot)
	}
	l.mu.Lock()
	was := l.consul
	l.consul = ConsulReport{Reachable: seen.Err == nil, Since: was.Since}
	if seen.Err != nil {
		l.consul.Error = seen.Err.Error()
	}
	first, changed := was.Error == "" && !was.Reachable, was.Reachable != l.consul.Reachable
	if changed || was.Since.IsZero() {
		l.consul.Since = time.Now()
	}
	if first || changed {
		l.logConsul(l.consul)
	}
	if seen.Err == nil { // with the names' newest answers, as long as nobody else can convert
		l.latest = &catalogSeen{catalog: l.convert.catalog(seen.Snapshot), snapshot: seen.Snapshot, at: arrived}
	}
	l.mu.Unlock()
	if seen.Err == nil {
		l.Wake()
	}
}

func (l *Loop) logConsul(now ConsulReport) {
	if now.Reachable {
		l.log.Info().Msg("consul answers")
		return
	}
	l.log.Warn().Str("error", now.Error).Msg("consul does not answer: every server stays as it is")
}

// Wake asks for a round soon.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Alive returns nil as soon as the loop itself says that it turns, and an error if ctx ends first. A round that fails,
// and one that takes its time, are no reason to doubt it: a round ends within half a minute.
func (l *Loop) Alive(ctx context.Context) error {
	select {
	case l.asked <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.New("the loop over the servers does not turn")
	}
}

const (
	roundTimeout = 30 * time.Second       // a reload with a check of 5,000 servers takes a second or two
	retryDelay   = 500 * time.Millisecond // after a round that failed
	drainDelay   = 100 * time.Millisecond // while somebody waits to be drained
	ackTimeout   = 3 * time.Second        // so that a Consul that hangs does not keep up the rounds
)

// Run runs rounds until ctx ends: when woken, and after [Options.Resync] at the latest. In between it looks after those
// that are being drained, and beside it after host names.
func (l *Loop) Run(ctx context.Context) error {
	named := make(chan struct{})
	go func() {
		defer close(named)
		l.keepNames(ctx)
	}()
	defer func() { <-named }()
	for ctx.Err() == nil {
		var err error
		within(ctx, roundTimeout, func(ctx context.Context) { err = l.round(ctx) })
		if ctx.Err() != nil {
			break // what was cut short is no failure
		}
		l.finish(err)
		l.rest(ctx, err)
	}
	return nil
}

// rest returns when it is time for another round.
func (l *Loop) rest(ctx context.Context, err error) {
	delay := l.options.Resync
	if err != nil {
		delay = min(retryDelay, delay)
	}
	round := time.NewTimer(delay)
	defer round.Stop()
	drains := time.NewTicker(drainDelay)
	defer drains.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			return
		case <-l.asked:
		case <-round.C:
			return
		case <-drains.C:
			within(ctx, ackTimeout, l.acknowledge)
		}
	}
}

func within(ctx context.Context, limit time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	do(ctx)
}

// round brings HAProxy to where the catalog wants it, as far as that can be done: a growth that fails keeps up nobody but
// those who would have got the new slots.
func (l *Loop) round(ctx context.Context) error {
	pool, seen := l.read()
	plan, refused, short := l.decide(ctx, pool, seen)
	next := plan.ApplyTo(pool)
	// From here on the plan stands, whether or not HAProxy can be told now: a later round will see the difference.
	l.commit(next, plan, refused, seen)
	if changes := l.parting.take(plan, time.Now()); len(changes) > 0 {
		l.hurry(ctx, changes, seen)
	}
	// The running HAProxy first, it is the one that serves; then the file, also while none is running.
	set, err := l.converge(ctx, next, plan)
	if set {
		l.arrive(time.Now())
		l.drains.update(next, time.Now())
		l.publishDrained()
	}
	err = errors.Join(short, err, l.noting(l.plane.Save(ctx, Servers(next))))
	within(ctx, ackTimeout, l.acknowledge)
	return err
}

// hurry makes the planned changes at once, so that they need not wait until every server was read and compared, which
// takes a while with thousands of them. Whatever fails here, the comparison that follows finds and mends.
func (l *Loop) hurry(ctx context.Context, changes []haproxy.Change, seen *catalogSeen) {
	late := !l.underWay.IsZero() // earlier changes have not arrived either
	if !late {
		l.underWay = seen.at
	}
	done, err := l.plane.Set(ctx, changes)
	if err := l.noting(done, err); err != nil {
		l.log.Debug().Err(err).Msg("the planned changes could not be made at once")
	} else if !late {
		l.arrive(cmp.Or(done.InEffect, time.Now()))
	}
}

// arrive says since when HAProxy has all changes.
func (l *Loop) arrive(at time.Time) {
	if !l.underWay.IsZero() {
		l.options.Propagated(at.Sub(l.underWay))
		l.underWay = time.Time{}
	}
}

func (l *Loop) read() (state.Pool, *catalogSeen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pool, l.latest
}

// decide is the plan, with the backend grown for it. If that fails, the plan is what can be done with the slots that
// there are.
func (l *Loop) decide(ctx context.Context, pool state.Pool, seen *catalogSeen) (state.Plan, []state.Refusal, error) {
	if seen == nil {
		return state.Plan{}, nil, nil
	}
	members, refusals := state.Desire(seen.catalog)
	members, parity := state.Compare(pool, seen.catalog, members, l.options.Policy.Parity)
	l.noteParity(parity)
	policy := l.options.Policy
	plan := state.Diff(pool, members, policy)
	if released := l.takeReleased(); len(plan.Held) > 0 && slices.Equal(plan.Held, released) {
		l.log.Warn().Int("changes", len(released)).Msg("an operator lets through what the guard held")
		policy.Guard = 1
		plan = state.Diff(pool, members, policy)
	}
	if plan.Grow == 0 {
		l.growths.succeeded()
		return plan, refusals, nil
	}
	err := l.grow(ctx, pool, plan)
	if err != nil {
		policy.NoGrowth = true
		plan = state.Diff(pool, members, policy)
	}
	return plan, refusals, err
}

// grow gives the backend the slots of a plan, by a reload. Those that fail come ever more slowly.
func (l *Loop) grow(ctx context.Context, pool state.Pool, plan state.Plan) error {
	if !l.growths.due(time.Now()) {
		return l.growths.err
	}
	if err := l.noting(l.plane.Rebuild(ctx, Servers(plan.ApplyTo(pool)), haproxy.ReloadToGrow)); err != nil {
		return l.growths.failed(time.Now(), fmt.Errorf("growing the backend to %d slots, without which newcomers wait: %w", plan.Grow, err))
	}
	l.growths.succeeded()
	l.options.Grown(plan.Grow)
	return nil
}

// Release lets the changes through that the guard holds now, and returns them. It is an operator's decision, and only
// about what the operator has seen: if something else is held by the time of the next round, nothing is let through.
func (l *Loop) Release() []state.Change {
	defer l.Wake()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = l.report.Held
	return l.released
}

// takeReleased disarms a release: it is for one round, whatever that finds.
func (l *Loop) takeReleased() []state.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	released := l.released
	l.released = nil
	return released
}
