package rabbitmq

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

// running is a channel under test.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read when done is closed

	mu     sync.Mutex
	status connector.Status
	seen   map[connector.State]bool
}

func define(t testing.TB, role string, fields map[string]any) *connector.Definition {
	t.Helper()
	all := map[string]any{"name": "test", "kind": "amqp", "role": role, "url": node.URL()}
	if role == "channel" {
		maps.Copy(all, map[string]any{"service": "service", "max_attempts": 3})
	}
	maps.Copy(all, fields)
	text, err := json.Marshal(all)
	must(t, err)
	d, err := connector.Decode(text)
	must(t, err)
	return d
}

// runChannel runs a channel until it is stopped, or the test ends.
func runChannel(t testing.TB, fields map[string]any, service connector.InvokerFunc) *running {
	t.Helper()
	return runChannelWith(t, fields, connector.Options{}, service)
}

func runChannelWith(t testing.TB, fields map[string]any, options connector.Options, service connector.InvokerFunc) *running {
	t.Helper()
	d := define(t, "channel", fields)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan struct{}), seen: map[connector.State]bool{}}
	go func() {
		defer close(r.done)
		options.Report = r.report
		r.err = connector.Run(ctx, d, service, options)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

func (r *running) report(s connector.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = s
	r.seen[s.State] = true
}

func (r *running) now() connector.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *running) await(t testing.TB, state connector.State) (s connector.Status) {
	t.Helper()
	conformance.Eventually(t, "state "+string(state), func() bool {
		s = r.now()
		return s.State == state
	})
	return s
}

// stop ends the channel, and wants it to end well.
func (r *running) stop(t testing.TB) connector.Status {
	t.Helper()
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(bound):
		t.Fatal("the channel does not end")
	}
	must(t, r.err)
	return r.now()
}

func succeed(context.Context, connector.Message) error { return nil }

// named is a message with a name, which is its body too.
func named(name string) amqp091.Publishing {
	return amqp091.Publishing{MessageId: name, Body: []byte(name)}
}

// runSender runs an outgoing connector until the test ends.
func runSender(t testing.TB, fields map[string]any) (*connector.Sender, *running) {
	t.Helper()
	r := &running{seen: map[connector.State]bool{}, done: make(chan struct{})}
	s, err := connector.NewSender(define(t, "outgoing", fields), connector.Options{Report: r.report})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return s, r
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
