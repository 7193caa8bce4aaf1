package consul

import (
	"context"
	"errors"
	"maps"
	"time"
)

// taken is a lock that was taken.
type taken struct {
	Holder               // what its key says then
	rest   time.Duration // for which somebody else may still be at work
	begun  time.Time     // when it was asked for; zero if that is not known
}

// win waits until the lock is taken, and returns nil when ctx has ended before that. While somebody else holds the lock
// it does nothing but wait for the watch of the key to say otherwise.
func (c *competitor) win(ctx context.Context) *taken {
	var retry quickRetry
	var yielding yielding
	for ctx.Err() == nil {
		rest := c.backoff.rest()
		if rest == 0 {
			c.told.failing("rest", nil)
		}
		state, known, changed := c.seen.get()
		c.highest = max(c.highest, state.holder.Epoch)
		ready := c.prepare(ctx)
		wait := time.Duration(0) // for ever
		mine := c.session != "" && state.session == c.session
		_, spent := c.spent[state.session]
		switch {
		case !known:
		case mine && state.holder.Check == c.Check:
			return &taken{Holder: state.holder, rest: c.settle} // by a call whose answer was lost
		case mine: // and somebody has overwritten the value
			c.drop(nil)
			wait = retry.next()
		case spent:
			wait = retry.next()
		case !state.free():
			wait = rest
		case !ready:
		case !c.beating():
			c.beatNow()
			wait = retry.next()
		case rest > 0:
			wait = rest
		default:
			if wait = yielding.rest(state, c.Host, c.patience); wait > 0 {
				break
			}
			won, err := c.acquire(ctx, state)
			if err == nil {
				return won
			}
			wait = retry.after(err)
		}
		if !ready && wait == 0 {
			wait = retry.next()
		}
		if awaitChange(ctx, wait, changed) {
			retry = 0
		}
	}
	return nil
}

// beating says whether the check was passed of late. Whoever takes the lock without that only keeps it from others: an
// agent that has something to tell the servers, and waits for them to have a leader, lets nobody pass a check meanwhile.
func (c *competitor) beating() bool {
	passed := c.passed.Load()
	return passed != 0 && time.Since(c.began)-time.Duration(passed) <= 2*c.Beat
}

// freshChecks is how many times a session may be refused before that is told: a check that was just registered and passed
// is known to the agent first and to the servers some milliseconds later.
const freshChecks = 6

// prepare sees to it that there is a session to take the lock with, and none left of earlier tenures.
func (c *competitor) prepare(ctx context.Context) bool {
	for session := range maps.Clone(c.spent) {
		if c.close(ctx, session); c.spent[session] != nil {
			return false // a new session would have to wait for Consul likewise
		}
	}
	if c.session != "" {
		return true
	}
	if c.passed.Load() == 0 {
		c.beatNow()
		return false
	}
	err := c.call(ctx, func(ctx context.Context) (err error) {
		c.session, err = c.api.open(ctx, c.Host, c.Check)
		return err
	})
	if err == nil {
		c.refusals = 0
	} else {
		c.refusals++
		c.beatNow() // the check may be new and not yet passed
	}
	if err == nil || c.refusals > freshChecks {
		c.told.failing("session", err)
	}
	return err == nil
}

// acquire takes the lock, which was free.
func (c *competitor) acquire(ctx context.Context, over lock) (*taken, error) {
	seen, known, _ := c.trace.get()
	evidence := &seen
	if !known || !over.holder.Traces || over.holder.Released {
		evidence = nil // or none is needed
	}
	won, err := c.take(ctx, over, evidence)
	if errors.Is(err, errTraced) {
		won, err = c.take(ctx, over, nil)
	}
	if errors.Is(err, errNoSession) {
		c.session = ""
	}
	if !errors.Is(err, errOvertaken) && !errors.Is(err, errLockDelay) && !errors.Is(err, errNoSession) {
		c.told.failing("acquire", err)
	}
	return won, err
}

// take takes the lock over what it was, if the trace that is given is the newest one.
func (c *competitor) take(ctx context.Context, over lock, seen *trace) (*taken, error) {
	rest, now := c.rest(over.holder, seen), time.Now()
	won := &taken{Holder{
		Epoch: c.nextEpoch(over), Host: c.Host, Address: c.Address, Traces: true,
		Since: now.UTC().Truncate(time.Millisecond), Check: c.Check, Settled: rest == 0,
	}, rest, now}
	return won, c.call(ctx, func(ctx context.Context) error {
		text := encode(beatTrace{Epoch: won.Epoch, Host: c.Host, At: now.UTC()})
		return c.api.acquire(ctx, c.Key, c.session, encode(won.Holder), text, over, seen)
	})
}

// rest is for how long somebody who held the lease before may still be at work.
func (c *competitor) rest(last Holder, seen *trace) time.Duration {
	switch {
	case !last.Settled: // it may not even have waited for those before it
		return c.settle
	case last.Released:
		return 0
	case seen == nil:
		return c.settle
	}
	return max(0, c.settle-time.Since(seen.at))
}

// nextEpoch is greater than every epoch before. The clock only sees to it that this stays so when Consul has lost all
// it knew: wherever the key or a competitor knows the last epoch, clocks do not matter.
func (c *competitor) nextEpoch(over lock) uint64 {
	last := max(c.highest, over.holder.Epoch)
	return max(last+1, uint64(time.Now().UnixMilli()))
}

// drop makes the session one that is to be closed. If it has the lock, that is to be released by writing a farewell.
func (c *competitor) drop(farewell *Holder) {
	if c.session != "" {
		c.spent[c.session] = farewell
	}
	c.session = ""
}

// close closes a session that was dropped, or some of the way: what fails now is tried again. A holder that was fenced,
// as when Consul has lost its leader, can only later say that everything has stopped; whoever takes the lock then need
// not wait.
func (c *competitor) close(ctx context.Context, session string) {
	if !c.release(ctx, session) {
		return
	}
	err := c.callAnew(ctx, func(ctx context.Context) error { return c.api.destroy(ctx, session) })
	c.told.failing("session", err)
	if err == nil {
		delete(c.spent, session)
	}
}

// release returns true when a session that was dropped has the lock no more.
func (c *competitor) release(ctx context.Context, session string) bool {
	farewell := c.spent[session]
	if farewell == nil {
		return true
	}
	err := c.callAnew(ctx, func(ctx context.Context) error {
		return c.api.release(ctx, c.Key, session, encode(*farewell))
	})
	if errors.Is(err, errNoSession) {
		err = nil
	}
	c.told.failing("release", err)
	if err == nil {
		c.spent[session] = nil
	}
	return err == nil
}

// closeSessions ends what sessions there are, so that nothing has to wait for them.
func (c *competitor) closeSessions(ctx context.Context) {
	c.drop(nil)
	for session := range maps.Clone(c.spent) {
		c.close(ctx, session)
	}
}

// yielding is the patience with a successor that the last holder has named.
type yielding struct {
	to    lock
	since time.Time
}

// rest is how much longer to leave the lease to somebody else: nothing, unless its holder has released it in favour of
// another host and that host had not yet the time that it is given.
func (y *yielding) rest(state lock, self string, patience time.Duration) time.Duration {
	named := state.holder.Successor
	if !state.holder.Released || named == "" || named == self {
		return 0
	}
	if y.to != state {
		*y = yielding{to: state, since: time.Now()}
	}
	return max(0, patience-time.Since(y.since))
}

// quickRetry yields delays that double from 2 ms to half a second: what is retried mostly succeeds at once or needs the
// registration, or Consul, to be there first.
type quickRetry time.Duration

func (r *quickRetry) next() time.Duration {
	*r = quickRetry(min(max(2*time.Duration(*r), 2*time.Millisecond), 500*time.Millisecond))
	return time.Duration(*r)
}

// after is the delay after a failed try to take the lock. Whoever was overtaken need not hurry: the watch tells.
func (r *quickRetry) after(err error) time.Duration {
	if errors.Is(err, errOvertaken) {
		return 500 * time.Millisecond
	}
	return r.next()
}

// awaitChange waits for d, or for ever if it is 0, and returns true if changed was closed before that. It ends with ctx.
func awaitChange(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
	case <-over:
	case <-changed:
		return true
	}
	return false
}
