package consul

import (
	"context"
	"errors"
	"maps"
	"time"
)

// win waits until the lock is taken and returns what its key says then, and true; or false when ctx has ended. While
// somebody else holds the lock it does nothing but wait for the watch of the key to say otherwise.
func (c *competitor) win(ctx context.Context) (Holder, bool) {
	var retry quickRetry
	var yielding yielding
	for ctx.Err() == nil {
		state, known, changed := c.seen.get()
		c.highest = max(c.highest, state.holder.Epoch)
		ready := c.prepare(ctx)
		wait := time.Duration(0) // for ever
		mine := c.session != "" && state.session == c.session
		_, spent := c.spent[state.session]
		switch {
		case !known:
		case mine && state.holder.Check == c.Check:
			return state.holder, true // taken by a call whose answer was lost
		case mine: // and somebody has overwritten the value
			c.drop(nil)
			wait = retry.next()
		case spent:
			wait = retry.next()
		case !state.free():
		case !ready:
		default:
			if wait = yielding.rest(state, c.Host, c.patience); wait > 0 {
				break
			}
			holder, err := c.acquire(ctx, state)
			if err == nil {
				return holder, true
			}
			wait = retry.after(err)
		}
		if !ready && wait == 0 {
			wait = retry.next()
		}
		if pause(ctx, wait, changed) {
			retry = 0
		}
	}
	return Holder{}, false
}

// freshChecks is how many times a session may be refused before that is told: a check that was just registered and passed
// is known to the agent first and to the servers some milliseconds later.
const freshChecks = 6

// prepare sees to it that there is a session to take the lock with, and none left of earlier tenures.
func (c *competitor) prepare(ctx context.Context) bool {
	for session := range maps.Clone(c.spent) {
		c.close(ctx, session)
	}
	if c.session != "" {
		return true
	}
	if !c.passed.Load() {
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
func (c *competitor) acquire(ctx context.Context, over lock) (Holder, error) {
	stopped, err := c.stopped(ctx, over)
	c.told.failing("predecessor", err)
	holder := Holder{
		Epoch: c.nextEpoch(over), Host: c.Host, Address: c.Address,
		Since: time.Now().UTC().Truncate(time.Millisecond), Check: c.Check, Settled: stopped,
	}
	err = c.call(ctx, func(ctx context.Context) error {
		return c.api.acquire(ctx, c.Key, c.session, encode(holder), over)
	})
	if errors.Is(err, errNoSession) {
		c.session = ""
	}
	if !errors.Is(err, errOvertaken) && !errors.Is(err, errLockDelay) && !errors.Is(err, errNoSession) {
		c.told.failing("acquire", err)
	}
	return holder, err
}

// stopped says whether everybody who held the lease before has stopped for sure. An error means no.
func (c *competitor) stopped(ctx context.Context, over lock) (stopped bool, err error) {
	last := over.holder
	switch {
	case !last.Settled: // it may not even have waited for those before it
		return false, nil
	case last.Released:
		return true, nil
	}
	err = c.call(ctx, func(ctx context.Context) (err error) {
		stopped, err = c.api.expired(ctx, c.Service, last.Check)
		return err
	})
	return stopped && err == nil, err
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

// close closes a session that was dropped, or some of the way: what fails now is tried again. A holder that was fenced, as when
// Consul has lost its leader, can only later say that everything has stopped; whoever takes the lock then need not wait.
func (c *competitor) close(ctx context.Context, session string) {
	if !c.release(ctx, session) {
		return
	}
	err := c.call(ctx, func(ctx context.Context) error { return c.api.destroy(ctx, session) })
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
	err := c.call(ctx, func(ctx context.Context) error {
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

// pause waits for d, or for ever if it is 0, and returns true if changed was closed before that. It ends with ctx.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
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
