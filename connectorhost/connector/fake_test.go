package connector_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

// The kind "fake" has a broker in memory, with one durable queue. It counts deliveries; a message given back goes to the
// front; a channel may be exclusive, may be told to retry in place, and may be lossy: one that can give nothing back.
func init() {
	connector.Register("fake", func(f *connector.Fields) connector.Settings {
		return fakeSettings{
			broker: brokers[f.Int("broker", 0, 0, 1<<30)], inFlight: f.Int("in_flight", 5, 1, 100), limit: f.Int("limit", 1<<30, 1, 1<<30),
			exclusive: f.Bool("exclusive", false), inPlace: f.Bool("in_place", false), lossy: f.Bool("lossy", false),
		}
	})
}

// brokers are found by the definitions; a test adds its own.
var brokers []*broker

type fakeSettings struct {
	broker                    *broker
	inFlight, limit           int
	exclusive, inPlace, lossy bool
}

func (s fakeSettings) Capabilities() connector.Capabilities {
	if s.lossy {
		return connector.Capabilities{Guarantee: connector.AtMostOnce, Prepare: true, RetryInPlace: true}
	}
	return connector.Capabilities{
		Guarantee: connector.AtLeastOnce, Redelivers: true, Counts: true, DeadLetter: true, Transacted: true,
		Ordered: s.inFlight == 1, Exclusive: s.exclusive, Prepare: true, RetryInPlace: s.inPlace,
	}
}
func (s fakeSettings) InFlight() int { return s.inFlight }
func (s fakeSettings) Source(connector.Environment) connector.Source {
	return &fakeSource{fakeSettings: s}
}

func (s fakeSettings) Sink(environment connector.Environment) connector.Sink {
	s.broker.blocked = environment.Blocked
	return &fakeSink{fakeSettings: s}
}

type stored struct {
	connector.Message
	deliveries int
	taken      *fakeConnection // nil while it waits
}

// broker is what the connections talk to.
type broker struct {
	mu      sync.Mutex
	up      bool
	changed chan struct{} // closed and replaced whenever something changes
	queue   []*stored
	parked  []conformance.Parked
	holder  *fakeConnection
	open    map[*fakeConnection]bool
	blocked func(reason string) // of the latest sink
	slow    time.Duration       // that a send takes, and the stop of a lossy channel
}

func newBroker() *broker {
	return &broker{up: true, changed: make(chan struct{}), open: map[*fakeConnection]bool{}}
}

// do changes the broker.
func (b *broker) do(change func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		close(b.changed)
		b.changed = make(chan struct{})
	}()
	return change()
}

type fakeConnection struct{ lost bool }

func (b *broker) connect() (c *fakeConnection, err error) {
	return c, b.do(func() error {
		if !b.up {
			return fmt.Errorf("%w: the broker is down", connector.ErrNotConnected)
		}
		c = &fakeConnection{}
		b.open[c] = true
		return nil
	})
}

// drop ends a connection; b.mu is held.
func (b *broker) drop(c *fakeConnection) {
	if c == nil || c.lost {
		return
	}
	c.lost = true
	delete(b.open, c)
	for _, m := range b.queue {
		if m.taken == c {
			m.taken = nil
		}
	}
	if b.holder == c {
		b.holder = nil
	}
}

func (b *broker) put(m connector.Message) {
	_ = b.do(func() error {
		b.queue = append(b.queue, &stored{Message: m})
		return nil
	})
}

func (b *broker) set(up bool) {
	_ = b.do(func() error {
		b.up = up
		for c := range b.open {
			if !up {
				b.drop(c)
			}
		}
		return nil
	})
}

func (b *broker) setBlocked(reason string) { b.blocked(reason) }

func (b *broker) setSlow(slow time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = slow
}

// await waits until the condition, which is asked under b.mu, does not say no any more.
func (b *broker) await(ctx context.Context, condition func() (met bool, err error)) error {
	for {
		b.mu.Lock()
		met, err := condition()
		changed := b.changed
		b.mu.Unlock()
		if met || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errLost = fmt.Errorf("%w: the broker has hung up", connector.ErrNotConnected)

type fakeSource struct {
	fakeSettings
	connection *fakeConnection
	stopped    bool
}

func (s *fakeSource) Connect(context.Context) (err error) {
	s.connection, err = s.broker.connect()
	return err
}

func (s *fakeSource) Start(context.Context) error {
	if !s.exclusive {
		return nil
	}
	return s.broker.do(func() error {
		switch {
		case s.connection.lost:
			return errLost
		case s.broker.holder != nil:
			return fmt.Errorf("%w: there is a consumer", connector.ErrHeld)
		}
		s.broker.holder = s.connection
		return nil
	})
}

func (s *fakeSource) Receive(ctx context.Context) (d connector.Delivery, err error) {
	c := s.connection
	err = s.broker.await(ctx, func() (bool, error) {
		if c.lost {
			return false, errLost
		}
		i := slices.IndexFunc(s.broker.queue, func(m *stored) bool { return m.taken == nil })
		switch {
		case i < 0 && s.stopped:
			return false, errLost
		case i < 0:
			return false, nil
		}
		m := s.broker.queue[i]
		m.taken = c
		m.deliveries++
		d.Message = m.Message
		d.Redelivered, d.Attempt, d.Stable = m.deliveries > 1, m.deliveries, true
		if len(m.Body) > s.limit {
			d.Body, d.Unfit = nil, fmt.Sprintf("has more than %d bytes", s.limit)
		}
		d.Settle = func(_ context.Context, verdict connector.Verdict, outcome connector.Outcome) error {
			return s.broker.settle(c, m, verdict, outcome)
		}
		return true, nil
	})
	return d, err
}

func (b *broker) settle(c *fakeConnection, m *stored, verdict connector.Verdict, outcome connector.Outcome) error {
	return b.do(func() error {
		if c.lost {
			return errLost
		}
		if m.taken != c {
			return errors.New("settled twice")
		}
		m.taken = nil
		if verdict == connector.GiveBack {
			return nil
		}
		b.queue = slices.DeleteFunc(b.queue, func(other *stored) bool { return other == m })
		if verdict == connector.Park {
			b.parked = append(b.parked, conformance.Parked{ID: m.ID, Body: m.Body, Reason: outcome.Reason})
		}
		return nil
	})
}

func (s *fakeSource) Stop(ctx context.Context) error {
	if !s.lossy {
		return nil
	}
	s.stopped = true
	select {
	case <-time.After(s.broker.slow):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeSource) Close(context.Context) error {
	return s.broker.do(func() error {
		s.broker.drop(s.connection)
		return nil
	})
}

type fakeSink struct {
	fakeSettings
	connection *fakeConnection
}

func (s *fakeSink) Connect(context.Context) (err error) {
	s.connection, err = s.broker.connect()
	return err
}

func (s *fakeSink) Send(_ context.Context, m connector.Message) error {
	s.broker.mu.Lock()
	lost, slow := s.connection.lost, s.broker.slow
	s.broker.mu.Unlock()
	if lost {
		return errLost
	}
	<-time.After(slow)
	s.broker.put(m)
	return nil
}

func (s *fakeSink) Wait(ctx context.Context) error {
	return s.broker.await(ctx, func() (bool, error) {
		if s.connection.lost {
			return false, errLost
		}
		return false, nil
	})
}

func (s *fakeSink) Close(context.Context) error {
	return s.broker.do(func() error {
		s.broker.drop(s.connection)
		return nil
	})
}

// fakeHarness is the broker for the conformance suite.
type fakeHarness struct {
	*broker
	number int
	fields map[string]any
}

func (h fakeHarness) Channel(*testing.T) map[string]any {
	fields := map[string]any{"broker": h.number}
	for name, value := range h.fields {
		fields[name] = value
	}
	return fields
}
func (h fakeHarness) Start(*testing.T)        { h.set(true) }
func (h fakeHarness) Stop(*testing.T)         { h.set(false) }
func (h fakeHarness) Ordered() map[string]any { return map[string]any{"in_flight": 1} }

func (h fakeHarness) Exclusive() map[string]any { return map[string]any{"exclusive": true} }

func (h fakeHarness) Limited(bytes int) map[string]any { return map[string]any{"limit": bytes} }

func (h fakeHarness) Outgoing(*testing.T) map[string]any { return map[string]any{"broker": h.number} }

func (h fakeHarness) Put(_ *testing.T, id string, body []byte) {
	h.put(connector.Message{ID: id, Body: body})
}

func (h fakeHarness) Parked(*testing.T) (all []conformance.Parked) {
	_ = h.do(func() error {
		all, h.parked = h.parked, nil
		return nil
	})
	return all
}

func (h fakeHarness) Waiting(*testing.T) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue)
}

func newFake(fields map[string]any) fakeHarness {
	brokers = append(brokers, newBroker())
	return fakeHarness{broker: brokers[len(brokers)-1], number: len(brokers) - 1, fields: fields}
}

func TestTheLoopConformsOnABrokerInMemory(t *testing.T) {
	for name, fields := range map[string]map[string]any{"given back": nil, "in place": {"in_place": true}} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, "fake", func(*testing.T) conformance.Harness { return newFake(fields) })
		})
	}
}
