// Package conformance says, as tests, what every kind of connector does alike, whatever its broker. It is imported by the
// tests of the kinds.
//
// One case, walked through: "poison is parked or dropped after exactly max_attempts" has the [Harness] put ten messages
// into the broker, of which the service fails one every time, and runs the channel, by [connector.Run], until nothing
// waits any more. It wants the service to have been called three times with the poison and once with each other message,
// and the poison to lie, with its reason, where the harness finds parked messages, or to be counted as dropped by a kind
// that has no such place.
//
// What a kind has declared that it cannot do is skipped, aloud, by its [connector.Capabilities]. Each case ends with no
// goroutine left behind.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/connectorhost/connector"
)

// Harness is a kind's broker with one queue for a case, and what other people do around it. It ends with the test.
type Harness interface {
	// Channel are the fields of a channel that receives from the queue, without name, role, service and max_attempts.
	Channel(t *testing.T) map[string]any

	// Start starts the stopped broker, which listens when this returns. Stop stops it; what is durable survives. A
	// harness is made with its broker running.
	Start(t *testing.T)
	Stop(t *testing.T)

	// Put has somebody send a message. The ID is the broker's own name for it, where there is such a thing.
	Put(t *testing.T, id string, body []byte)

	// Waiting is how many messages wait in the queue; those in flight need not be counted. It is not asked of a kind that
	// does not redeliver.
	Waiting(t *testing.T) int

	// Parked takes out and returns the messages that have been parked, in any order. It is not asked of a kind without dead
	// letters.
	Parked(t *testing.T) []Parked

	// Ordered are fields that make the channel keep order; nil if it never does, or always.
	Ordered() map[string]any

	// Exclusive are fields that let only one channel consume; nil if there are none, or it is always so.
	Exclusive() map[string]any

	// Limited are fields that limit a message to so many bytes; nil if there is no limit to set.
	Limited(bytes int) map[string]any

	// Outgoing are the fields of an outgoing connector that sends to where Channel receives, without name and role; nil
	// if the kind has none.
	Outgoing(t *testing.T) map[string]any
}

// Namer is a [Harness] whose broker cannot take any text as a message's name.
type Namer interface {
	// Name is the ID with which a message comes that was put, or sent, with one.
	Name(id string) string
}

// Listener is a [Harness] whose channel may be the one that listens: it runs with its broker and without.
type Listener interface{ Listens() bool }

// Parked is a message that was put aside.
type Parked struct {
	ID     string
	Body   []byte
	Reason string
}

// Factory makes a harness with a queue of its own for one case.
type Factory func(t *testing.T) Harness

const (
	// bound is generous: whatever takes longer is broken, however slow the machine.
	bound       = 60 * time.Second
	poll        = 5 * time.Millisecond
	moment      = 150 * time.Millisecond // in which what must not happen would have happened
	maxAttempts = 3
)

// Run runs every case as a subtest. kind is the name in definitions. The options are for goroutines that the harness
// starts during a case.
func Run(t *testing.T, kind string, start Factory, harness ...goleak.Option) {
	for _, c := range slices.Concat(channelCases, faultCases, outgoingCases) {
		t.Run(c.name, func(t *testing.T) {
			// The order matters: the harness, and what it starts, ends after the check.
			s := &subject{kind: kind, Harness: start(t)}
			ours := append([]goleak.Option{goleak.IgnoreCurrent()}, harness...)
			defer func() {
				if !t.Failed() && !t.Skipped() {
					goleak.VerifyNone(t, ours...)
				}
			}()
			c.run(t, s)
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, s *subject)
}

// subject is a kind with its broker.
type subject struct {
	Harness
	kind string
}

// define makes a channel's definition, of the harness's fields and further ones.
func (s *subject) define(t *testing.T, more ...map[string]any) *connector.Definition {
	t.Helper()
	fields := s.Channel(t)
	maps.Copy(fields, map[string]any{
		"name": "subject", "kind": s.kind, "role": "channel", "service": "service", "max_attempts": maxAttempts,
	})
	return decode(t, fields, more...)
}

func decode(t *testing.T, fields map[string]any, more ...map[string]any) *connector.Definition {
	t.Helper()
	for _, fields2 := range more {
		maps.Copy(fields, fields2)
	}
	text, err := json.Marshal(fields)
	must(t, err)
	d, err := connector.Decode(text)
	must(t, err)
	return d
}

// named is the ID with which a message comes.
func (s *subject) named(id string) string {
	if n, renames := s.Harness.(Namer); renames {
		return n.Name(id)
	}
	return id
}

// listens says that the channel waits for its broker to connect.
func (s *subject) listens() bool {
	l, may := s.Harness.(Listener)
	return may && l.Listens()
}

// can are the capabilities.
func (s *subject) can(t *testing.T) connector.Capabilities {
	return s.define(t).Settings.Capabilities()
}

// running is a channel under test.
type running struct {
	stop  context.CancelFunc
	done  chan error
	calls *calls

	mu     sync.Mutex
	status connector.Status
	states []connector.State
	news   chan struct{}
}

// run runs a channel whose service answers as it is told.
func (s *subject) run(t *testing.T, d *connector.Definition, answer answer, options connector.Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop: stop, done: make(chan error, 1), calls: newCalls(answer), news: make(chan struct{}, 1)}
	options.Report = r.reported
	go func() { r.done <- connector.Run(ctx, d, r.calls, options) }()
	t.Cleanup(func() { // for a case that failed half-way
		stop()
		select {
		case err := <-r.done:
			r.done <- err
		case <-time.After(bound):
			t.Error("the channel does not end")
		}
	})
	return r
}

func (r *running) reported(status connector.Status) {
	r.mu.Lock()
	if len(r.states) == 0 || status.State != r.states[len(r.states)-1] {
		r.states = append(r.states, status.State)
	}
	r.status = status
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// now is the latest status.
func (r *running) now() connector.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// await waits for a state.
func (r *running) await(t *testing.T, state connector.State) connector.Status {
	t.Helper()
	var s connector.Status
	Eventually(t, "state "+string(state), func() bool {
		s = r.now()
		return s.State == state
	})
	return s
}

// end stops the channel and wants it to end well.
func (r *running) end(t *testing.T) connector.Status {
	t.Helper()
	r.stop()
	must(t, r.wait(t))
	s := r.now()
	if s.State != connector.Stopped || s.InFlight != 0 {
		t.Errorf("ended as %+v", s)
	}
	return s
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(bound):
		t.Fatal("the channel does not end")
		return nil
	}
}

// answer is what a service does with its n-th call for a message.
type answer func(ctx context.Context, m connector.Message, n int) error

func succeed(context.Context, connector.Message, int) error { return nil }

var errService = errors.New("the service says no")

// calls is the service, and remembers how it was called.
type calls struct {
	answer answer
	mu     sync.Mutex
	all    []connector.Message
	ok     []string // bodies that succeeded, in order
	times  map[string]int
}

func newCalls(answer answer) *calls { return &calls{answer: answer, times: map[string]int{}} }

func (c *calls) Invoke(ctx context.Context, m connector.Message) error {
	c.mu.Lock()
	c.all = append(c.all, m)
	c.times[string(m.Body)]++
	n := c.times[string(m.Body)]
	c.mu.Unlock()
	err := c.answer(ctx, m, n)
	if err == nil {
		c.mu.Lock()
		c.ok = append(c.ok, string(m.Body))
		c.mu.Unlock()
	}
	return err
}

// count is how often the service was called with a body.
func (c *calls) count(body string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[body]
}

// succeeded are the bodies in the order in which they succeeded.
func (c *calls) succeeded() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ok)
}

// of are the calls with a body.
func (c *calls) of(body string) (messages []connector.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.all {
		if string(m.Body) == body {
			messages = append(messages, m)
		}
	}
	return messages
}

// put sends messages "message 1" to "message n" from a number on, and returns their bodies.
func (s *subject) put(t *testing.T, from, n int) (bodies []string) {
	t.Helper()
	for i := from; i < from+n; i++ {
		body := fmt.Sprintf("message %d", i)
		s.Put(t, fmt.Sprintf("id-%d", i), []byte(body))
		bodies = append(bodies, body)
	}
	return bodies
}

// empty waits until the broker holds nothing any more.
func (s *subject) empty(t *testing.T) {
	t.Helper()
	s.holds(t, 0)
}

// holds waits until so many messages wait in the queue.
func (s *subject) holds(t *testing.T, n int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("queue of %d messages", n), func() bool { return s.Waiting(t) == n })
}

// all waits until each body has succeeded at least once.
func (r *running) all(t *testing.T, bodies []string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%d messages", len(bodies)), func() bool {
		done := r.calls.succeeded()
		return !slices.ContainsFunc(bodies, func(body string) bool { return !slices.Contains(done, body) })
	})
}

// Eventually fails the test if a condition does not hold within a minute: longer takes what is broken, however slow the
// machine.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(bound)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("there is no %s within %v", what, bound)
		}
		<-tick.C
	}
}

// pass lets a moment pass, in which something must not happen.
func pass() { <-time.After(moment) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func skipUnless(t *testing.T, able bool, what string) {
	t.Helper()
	if !able {
		t.Skip("this kind does not claim to " + what)
	}
}
