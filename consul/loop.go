package consul

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// pace is how often something that changes without end is asked for, each time whole, instead of spinning: a burst of
// times at once, then once an interval; and how rarely at most while it cannot be had.
type pace struct {
	interval time.Duration
	burst    int
	retryMax time.Duration
	stale    *bell // ends what is asked, and the wait behind a failure; nil for none
}

func (p pace) unless(stale *bell) pace {
	p.stale = stale
	return p
}

var (
	// urgently suits a lease: while Consul's servers elect a leader nothing can be read, and a host that sleeps behind a
	// failed try leaves a lease lying that the new leader has freed. Hosts are few, and beat as often in any case.
	urgently = pace{interval: 10 * time.Millisecond, burst: 10, retryMax: 200 * time.Millisecond}
	// closely suits what matters to each request.
	closely = pace{interval: 10 * time.Millisecond, burst: 10, retryMax: retryMax}
	// calmly suits all else. Each state but the first two of a burst comes up to a tenth of a second late, and who follow
	// the same thing, as every server and every host do, leave Consul and the processors to those who need them just then.
	calmly = pace{interval: 100 * time.Millisecond, burst: 2, retryMax: retryMax}
)

const (
	// An agent that is away is asked about once a second. A lower cap would load an ailing Consul, a higher one would
	// leave a Consul that came back unnoticed.
	retryMin = 100 * time.Millisecond
	retryMax = time.Second
)

// A query asks Consul once for the whole state of something, and returns it with its index. With index 0 it is answered
// at once, otherwise when the state has passed that index or Consul's wait is over.
type query[T any] func(ctx context.Context, index uint64) (state T, newIndex uint64, err error)

// watch runs blocking queries until ctx ends and hands every state to observe, once, and every error. It returns when ctx
// has ended; observe is called from no other goroutine. This is the one place that knows the rules of blocking queries:
//
//   - An index that went backwards (Consul was restored or restarted; 0 is never right) is dropped: Consul would hold a
//     query with it until something reaches it again, or the wait is over.
//   - So is the index after an error, since the Consul that answers next may be another one. Its answer is observed even
//     if nothing changed, to say that the error is over.
//   - An answer equal to the last one (the wait was over, or the index moved for some other cause) is not observed.
//   - Queries are paced, and retried with a growing, jittered delay, but for one that was stale.
func watch[T any](ctx context.Context, pace pace, ask query[T], equal func(a, b T) bool, observe func(T, error)) {
	var (
		index uint64
		last  T
		known bool // observe was told last, and no error since
		limit = limiter{pace: pace}
		retry = backoff{most: pace.retryMax}
	)
	for limit.wait(ctx) {
		asking, done := pace.stale.context(ctx)
		state, newIndex, err := ask(asking, index)
		if err != nil && ctx.Err() == nil {
			index, known = 0, false
			var none T
			observe(none, staleOr(asking, err))
			sleep(asking, retry.next())
		}
		done()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			continue
		}
		retry.reset()
		if newIndex < index {
			newIndex = 0
		}
		index = newIndex
		if known && equal(last, state) {
			continue
		}
		last, known = state, true
		observe(state, nil)
	}
}

// limiter lets a burst of events pass at once, and then one each interval.
type limiter struct {
	pace
	paidUntil time.Time
}

// wait returns true when the next event may happen, false when ctx has ended first.
func (l *limiter) wait(ctx context.Context) bool {
	now := time.Now()
	if l.paidUntil.Before(now) {
		l.paidUntil = now
	}
	delay := l.paidUntil.Sub(now) - time.Duration(l.burst-1)*l.interval
	l.paidUntil = l.paidUntil.Add(l.interval)
	return sleep(ctx, delay)
}

// backoff yields delays that double from retryMin to the most, which is retryMax if it is 0.
type backoff struct {
	delay, most time.Duration
}

// next is a random duration in the upper half of the current delay, so that many clients do not return in step.
func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, retryMin), cmp.Or(b.most, retryMax))
	return b.delay/2 + rand.N(b.delay/2+1)
}

func (b *backoff) reset() { b.delay = 0 }

// sleep waits for d and returns true, or false as soon as ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
