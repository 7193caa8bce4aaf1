package consul_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// cable is a way to an agent that can be cut: what is sent then gets lost, and no connection is closed.
type cable struct {
	listener net.Listener
	agent    string
	cut      atomic.Bool
	running  sync.WaitGroup
	done     chan struct{}
}

func newCable(t *testing.T, agent string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &cable{listener: listener, agent: agent, done: make(chan struct{})}
	c.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.running.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		close(c.done)
		must(t, listener.Close())
		c.running.Wait()
	})
	return c
}

// carry copies both ways. A connection that was there while the cable was cut carries nothing any more.
func (c *cable) carry(near net.Conn) {
	far, err := net.Dial("tcp", c.agent)
	if err != nil {
		near.Close()
		return
	}
	var lost atomic.Bool
	var copying sync.WaitGroup
	oneWay := func(from, to net.Conn) {
		buffer := make([]byte, 16<<10)
		for {
			n, err := from.Read(buffer)
			if c.cut.Load() {
				lost.Store(true)
			}
			if lost.Load() {
				n = 0
			}
			if _, failed := to.Write(buffer[:n]); (err != nil || failed != nil) && !lost.Load() {
				near.Close()
				far.Close()
			}
			if err != nil {
				return
			}
		}
	}
	copying.Go(func() { oneWay(near, far) })
	copying.Go(func() { oneWay(far, near) })
	ended := make(chan struct{})
	go func() {
		copying.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-c.done:
	}
	near.Close()
	far.Close()
	<-ended
}

// acts notes who acted when.
type acts struct {
	mu    sync.Mutex
	spans []act
}

type act struct {
	host        string
	epoch       uint64
	start, stop time.Time // stop is zero while it acts
	cause       error
}

func (a *acts) hold(host string) func(*consul.Tenure) {
	return func(tenure *consul.Tenure) {
		a.mu.Lock()
		i := len(a.spans)
		a.spans = append(a.spans, act{host: host, epoch: tenure.Epoch, start: time.Now()})
		a.mu.Unlock()
		select {
		case <-tenure.Context().Done():
		case <-tenure.Leaving():
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.spans[i].stop, a.spans[i].cause = time.Now(), context.Cause(tenure.Context())
	}
}

// last is the newest span, and how many there are.
func (a *acts) last() (act, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.spans) == 0 {
		return act{}, 0
	}
	return a.spans[len(a.spans)-1], len(a.spans)
}

// next waits for the span after the first n.
func (a *acts) next(t *testing.T, n int) act {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if last, now := a.last(); now > n {
			return last
		}
	}
	t.Fatalf("nobody acts after %v", patience)
	return act{}
}

// Between a holder and Consul, nothing passes any more, and nothing says so.
func TestAHolderThatIsCutOffHasStoppedBeforeTheNextOneStarts(t *testing.T) {
	t.Parallel()
	trials := 3
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		trials = n
	}
	agent := consultest.Start(t)
	var acts acts
	cables := map[string]*cable{}
	for _, host := range []string{"host-a", "host-b", "host-c"} {
		cables[host] = newCable(t, agent.Address())
		client, err := consul.New(cables[host].listener.Addr().String())
		must(t, err)
		c := &contender{
			client: client, host: host, check: fmt.Sprintf("service:%s:lease:1", host), key: consul.LeaseKey("main"), ttl: time.Second,
			seen: make(chan consul.LeaseState, 10_000), held: make(chan *consul.Tenure, 100), ended: make(chan error, 100),
		}
		c.register(t)
		lease := c.lease()
		lease.Hold, lease.Observe = acts.hold(host), func(consul.LeaseState) {}
		goroutine(t, func(ctx context.Context) {
			if err := client.Compete(ctx, lease); err != nil {
				t.Error(err)
			}
		})
	}
	acts.next(t, 0)
	var took []time.Duration
	for i := range trials {
		<-time.After(1200*time.Millisecond + time.Duration(i*83%250)*time.Millisecond)
		before, n := acts.last()
		cables[before.host].cut.Store(true)
		begun := time.Now()
		took = append(took, acts.next(t, n).start.Sub(begun))
		cables[before.host].cut.Store(false)
	}
	acts.mu.Lock()
	defer acts.mu.Unlock()
	var margins []time.Duration
	for i := 1; i < len(acts.spans); i++ {
		before, after := acts.spans[i-1], acts.spans[i]
		margin := after.start.Sub(before.stop)
		if before.stop.IsZero() || margin < 0 || after.epoch <= before.epoch {
			t.Errorf("%+v, then %+v", before, after)
		}
		if !errors.Is(before.cause, consul.ErrFenced) {
			t.Logf("a tenure ended otherwise: %v", before.cause)
		}
		margins = append(margins, margin)
	}
	slices.Sort(took)
	slices.Sort(margins)
	t.Logf("n %d: taken over after median %v, worst %v; at least %v after the holder had stopped",
		len(took), took[len(took)/2], took[len(took)-1], margins[0])
}
