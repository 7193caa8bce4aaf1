package consul

import (
	"context"
	"errors"
	"sync"
	"time"
)

// serve lives one tenure, from the lock taken to the lock given up. It returns when nothing acts any more, and whether
// the holder was to leave.
func (c *competitor) serve(ctx context.Context, taken taken) (left bool) {
	begun, tenure := time.Now(), newTenure(taken.Epoch, c.session, c.fence)
	c.highest = max(c.highest, tenure.Epoch)
	c.told.role(TakingOver)
	if c.establish(ctx, tenure, &taken) {
		c.told.role(Active)
		c.act(ctx, tenure)
	} else if ctx.Err() == nil {
		tenure.end(ErrFenced)
	}
	c.current.Store(nil)
	cause := context.Cause(tenure.ctx)
	c.told.failing("tenure", cause)
	tenure.close()
	c.told.role(Standby)
	c.told.failing("rest", c.backoff.ended(cause, time.Since(begun)))
	c.told.failing("tenure", nil)
	c.giveUp(ctx, taken.Holder, tenure.successor)
	return tenure.left
}

// establish returns true when this host holds the lease and everybody who held it before has stopped.
func (c *competitor) establish(ctx context.Context, tenure *Tenure, taken *taken) bool {
	settled := time.Now().Add(taken.rest)
	if time.Since(taken.begun) < c.Beat { // where Consul is slower than that, a beat is to show first that the lease can be kept
		tenure.confirmed(taken.begun)
	}
	c.current.Store(tenure)
	c.beatNow() // the check may have been passed last quite a while ago
	if !c.waits(ctx, tenure, c.fence, tenure.first) {
		return false
	}
	if taken.Settled {
		return ctx.Err() == nil
	}
	if c.waits(ctx, tenure, time.Until(settled), nil); ctx.Err() != nil || tenure.ctx.Err() != nil {
		return false
	}
	taken.Settled = true
	// If this fails, the next one to take the lock only waits longer than it has to.
	_ = c.call(tenure.ctx, func(ctx context.Context) error {
		return c.api.rewrite(ctx, c.Key, c.session, encode(taken.Holder))
	})
	return tenure.ctx.Err() == nil
}

// waits returns true when done is closed, and false when d is over, or the tenure or ctx has ended.
func (c *competitor) waits(ctx context.Context, tenure *Tenure, d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
	case <-tenure.ctx.Done():
	case <-timer.C:
	}
	return false
}

// act lets the holder act, and tells it to leave when ctx ends.
func (c *competitor) act(ctx context.Context, tenure *Tenure) {
	defer context.AfterFunc(ctx, func() { tenure.leave("") })()
	c.Hold(tenure)
}

// giveUp releases the lock, with the word that everything has stopped, and drops the session: one session, one tenure.
// What cannot be done now is done by prepare, or by the check that nobody passes any more.
func (c *competitor) giveUp(ctx context.Context, holder Holder, successor string) {
	holder.Released, holder.Successor = true, successor
	session := c.session
	c.drop(&holder)
	c.release(context.WithoutCancel(ctx), session)
}

// beats passes the check every Beat, and confirms the current tenure, if there is one. Each beat runs beside those that
// hang, and has until the fence, after which it is of no use.
func (c *competitor) beats(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, c.fence/c.Beat+1)
	tick := time.NewTicker(c.Beat)
	defer tick.Stop()
	for {
		select {
		case slots <- struct{}{}:
			tenure := c.current.Load()
			running.Go(func() {
				start := time.Now()
				err := c.beat(ctx, tenure, start)
				if c.Beaten != nil {
					c.Beaten(time.Since(start), err)
				}
				<-slots
			})
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.hurry:
		}
	}
}

// beatNow makes the next beat begin at once.
func (c *competitor) beatNow() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// beat passes the check and then, if there is a tenure, makes sure that it goes on.
func (c *competitor) beat(ctx context.Context, tenure *Tenure, start time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, c.fence)
	defer cancel()
	err := c.api.pass(ctx, c.Check)
	switch {
	case err == nil:
		c.passed.Store(max(c.passed.Load(), int64(start.Sub(c.began)), 1))
	case errors.Is(err, errNoCheck) && c.passed.Load() == 0:
		return err // it is just being registered; if that fails, whoever registers it says so
	}
	if err == nil && tenure != nil {
		err = c.confirm(ctx, tenure, start)
	}
	if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.told.failing("beat", err)
		if c.contact.beaten(start, err == nil) {
			c.stale.ring() // what was asked meanwhile, or the answers, may have been lost, which nobody would tell
		}
	}
	return err
}

func (c *competitor) confirm(ctx context.Context, tenure *Tenure, start time.Time) error {
	text := encode(beatTrace{Epoch: tenure.Epoch, Host: c.Host, At: start.UTC()})
	err := c.api.beat(ctx, c.Key, tenure.session, text)
	switch {
	case errors.Is(err, errOvertaken):
		tenure.end(ErrLost)
		return nil
	case err == nil:
		tenure.confirmed(start)
	}
	return err
}

// beatTrace is what a beat leaves beside the key, for whoever looks. Only that it differs from the last one counts.
type beatTrace struct {
	Epoch uint64    `json:"epoch"`
	Host  string    `json:"host"`
	At    time.Time `json:"at"` // by the holder's clock
}
