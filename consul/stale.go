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

// ring ends every context that was made before, a moment later.
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

// callAnew is call for what may be done twice: it is done again whenever the bell is rung.
func (c *competitor) callAnew(ctx context.Context, do func(ctx context.Context) error) error {
	for {
		asking, done := c.stale.context(ctx)
		err := staleOr(asking, c.call(asking, do))
		done()
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

// lookOut follows who leads Consul's servers, and rings the bell as soon as there is a leader again that answers. What
// was asked before waits for longer in Consul 1.20 (agent/consul/rpc.go, client.go): agents and servers that find no
// leader look again up to 0.4 s later, then up to 0.9 s, and so on, and a leader that cannot answer yet looks every 0.4 s
// whether it can.
func (c *competitor) lookOut(ctx context.Context) {
	led, _ := c.leader(ctx)
	for sleep(ctx, c.glance()) {
		switch leader, err := c.leader(ctx); {
		case err != nil: // as from an agent that reaches no server
			led = ""
		case leader == led:
		case leader == "" || c.answers(ctx):
			led = leader
		}
	}
}

// glance is the time until the next look: what is left of three beats since the holder's last trace, behind which no
// election is over sooner, and from then on a tenth of a beat, growing to a whole one within half a minute.
func (c *competitor) glance() time.Duration {
	last := c.began
	if seen, known, _ := c.trace.get(); known {
		last = seen.at
	}
	quiet, lost := time.Since(last), 3*c.Beat
	if quiet < lost {
		return lost - quiet
	}
	return min(max(quiet/100, c.Beat/10), c.Beat)
}

// leader asks the agent who leads.
func (c *competitor) leader(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.Beat)
	defer cancel()
	return c.api.leader(ctx)
}

// answers waits until the new leader answers, and rings the bell then. It asks again and again beside what it has asked,
// which may hang for the reason above.
func (c *competitor) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	var asking sync.WaitGroup
	defer func() { cancel(); asking.Wait() }()
	answered := make(chan struct{}, 1)
	for pause := c.Beat / 10; ; pause += pause / 4 {
		asking.Go(func() {
			if _, _, err := c.api.read(ctx, c.Key, 0); err == nil {
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
		again := time.NewTimer(pause)
		select {
		case <-answered:
			again.Stop()
			c.stale.ring()
			c.beatNow()
			return true
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return false
		}
	}
}
