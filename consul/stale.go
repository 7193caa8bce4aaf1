package consul

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errStale ends a question whose answer may be lost, or come long after it could.
var errStale = errors.New("to be asked anew")

// bell is rung when whatever waits for an answer is to be asked anew. It is safe for concurrent use.
type bell struct {
	mu    sync.Mutex
	quiet context.Context // ends when the bell is rung
	end   context.CancelFunc
}

func newBell() *bell {
	b := &bell{}
	b.quiet, b.end = context.WithCancel(context.Background())
	return b
}

// ring ends every context that was made before.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
	b.quiet, b.end = context.WithCancel(context.Background())
}

// context returns one that ends, with errStale, when the bell is rung, and what to call behind its use. No bell is never
// rung.
func (b *bell) context(ctx context.Context) (_ context.Context, done func()) {
	if b == nil {
		return ctx, func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.quiet, func() { cancel(errStale) })
	return ctx, func() { stop(); cancel(nil) }
}

// staleOr is errStale if that is why what was asked under ctx has failed, and otherwise err.
func staleOr(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStale) {
		return errStale
	}
	return err
}

// callAnew is call for what may be done twice: it is given up, with errStale, when the bell is rung.
func (c *competitor) callAnew(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, done := c.stale.context(ctx)
	defer done()
	return staleOr(ctx, c.call(ctx, do))
}

// lookOut follows who leads Consul's servers, and has everything asked anew as soon as there is another leader that
// answers. What was asked before waits for longer in Consul 1.20 (agent/consul/rpc.go): agents and servers that find no
// leader look again up to 0.4 s later, then up to 0.9 s, and so on, and a leader that cannot answer yet looks every 0.4 s
// whether it can.
func (c *competitor) lookOut(ctx context.Context) {
	led, _ := c.leader(ctx)
	for sleep(ctx, c.glance()) {
		switch leader, err := c.leader(ctx); {
		case err != nil || leader == led:
		case leader == "" || c.answers(ctx):
			led = leader
		}
	}
}

// glance is the time between two looks: a beat while the holder's traces come, and short when they have ceased to come,
// though ever less so.
func (c *competitor) glance() time.Duration {
	last := c.began
	if seen, known, _ := c.trace.get(); known {
		last = seen.at
	}
	quiet := time.Since(last)
	if quiet < 2*c.Beat {
		return c.Beat
	}
	return min(max(quiet/100, c.Beat/10), c.Beat)
}

// leader asks the agent who leads.
func (c *competitor) leader(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Beat)
	defer cancel()
	return c.api.leader(ctx)
}

// answers waits until the new leader answers, and has everything asked anew then. The first questions are given up after
// hundredths of a second, for the reason above.
func (c *competitor) answers(ctx context.Context) bool {
	for patience := c.Beat / 10; patience < c.timeout && ctx.Err() == nil; patience += patience / 2 {
		if c.answersWithin(ctx, patience) {
			c.stale.ring()
			c.beatNow()
			return true
		}
	}
	return false
}

// answersWithin takes as long as that if the answer is an error.
func (c *competitor) answersWithin(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, _, err := c.api.read(ctx, c.Key, 0)
	if err != nil {
		<-ctx.Done()
	}
	return err == nil
}
