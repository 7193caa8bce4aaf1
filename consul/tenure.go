package consul

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	// ErrFenced is the cause of a tenure's end when no beat succeeded in time. Somebody else may hold the lease soon.
	ErrFenced = errors.New("the lease could not be confirmed in time")
	// ErrLost is the cause when Consul says that the lease is not held any more.
	ErrLost = errors.New("the lease is lost")
	// errOver is the cause when the holder is done.
	errOver = errors.New("the tenure is over")
)

// Tenure is one time of holding a lease, from the moment when its holder may act until it has stopped. Its methods may
// be called from any goroutine.
type Tenure struct {
	Epoch uint64 // greater than that of every tenure before

	session  string
	ctx      context.Context
	end      context.CancelCauseFunc
	first    chan struct{} // closed by the first beat that succeeded
	leaving  chan struct{}
	renewals chan time.Time
	length   time.Duration // from the start of a beat that succeeded to the fence

	mu        sync.Mutex
	until     time.Time // zero until the first beat has succeeded
	fence     *time.Timer
	left      bool
	successor string
}

func newTenure(epoch uint64, session string, length time.Duration) *Tenure {
	t := &Tenure{
		Epoch: epoch, session: session, first: make(chan struct{}), leaving: make(chan struct{}), renewals: make(chan time.Time, 1), length: length,
	}
	t.ctx, t.end = context.WithCancelCause(context.Background())
	return t
}

// Context ends when the lease is lost, or cannot be confirmed: whatever acts under it is to be killed at once, without
// any grace. Its cause is [ErrLost] or [ErrFenced].
func (t *Tenure) Context() context.Context { return t.ctx }

// Leaving is closed when the holder is to finish what it has in hand and then to return. The lease is still held.
func (t *Tenure) Leaving() <-chan struct{} { return t.leaving }

// Until is when the tenure ends by itself unless a beat succeeds before, on the monotonic clock.
func (t *Tenure) Until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until
}

// Renewals yields the newest value of Until after it has changed. It is meant for one reader.
func (t *Tenure) Renewals() <-chan time.Time { return t.renewals }

// HandOver makes the holder leave in favour of another host. Only the first call, and none after the holder has begun to
// leave, has an effect; it returns true then.
func (t *Tenure) HandOver(host string) bool { return t.leave(host) }

func (t *Tenure) leave(successor string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left || t.ctx.Err() != nil {
		return false
	}
	t.left, t.successor = true, successor
	close(t.leaving)
	return true
}

// confirmed extends the tenure by a beat that was begun at start and has succeeded. One that comes too late changes
// nothing, even if the timer has not run yet, as after a time in which the whole process was stopped.
func (t *Tenure) confirmed(start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	until := start.Add(t.length)
	switch {
	case t.ctx.Err() != nil || !until.After(t.until):
		return
	case t.fence != nil && !time.Now().Before(t.until):
		t.end(ErrFenced)
		return
	case !time.Now().Before(until): // the very first beat took too long to count
		return
	case t.fence == nil:
		t.fence = time.AfterFunc(time.Until(until), t.strike)
		close(t.first)
	default:
		t.fence.Reset(time.Until(until))
	}
	t.until = until
	select {
	case <-t.renewals:
	default:
	}
	t.renewals <- until
}

// strike ends the tenure if it has not been extended meanwhile.
func (t *Tenure) strike() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rest := time.Until(t.until); rest > 0 {
		t.fence.Reset(rest)
		return
	}
	t.end(ErrFenced)
}

// close ends the tenure, if it has not ended, and its timer.
func (t *Tenure) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(errOver)
	if t.fence != nil {
		t.fence.Stop()
	}
}
