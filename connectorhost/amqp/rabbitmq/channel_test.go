package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

var errService = errors.New("the service says no")

func fail(context.Context, connector.Message) error { return errService }

func TestAParkedMessageIsWhatItWasAndSaysWhy(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	m := amqp091.Publishing{
		MessageId: "4711", CorrelationId: "c", ReplyTo: "r", Type: "order", AppId: "shop", UserId: "guest", ContentType: "text/plain",
		Expiration: "600000", Priority: 3, Timestamp: time.Unix(1e9, 0), Body: []byte("body"),
		Headers: amqp091.Table{"own": "header", "number": int32(7), "CC": []any{"nowhere"}, "nested": amqp091.Table{"a": []any{"b"}}},
	}
	put(t, queue, m)
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": "quorum", "dead_letter": queue + "-dead"}, fail)
	conformance.Eventually(t, "verdict", func() bool { return r.now().Counts.Parked == 1 })
	r.stop(t)
	all := take(t, queue+"-dead")
	if len(all) != 1 {
		t.Fatalf("parked: %+v", all)
	}
	d := all[0]
	if d.MessageId != "4711" || d.CorrelationId != "c" || d.ReplyTo != "r" || d.Type != "order" || d.AppId != "shop" || d.UserId != "" ||
		d.ContentType != "text/plain" || d.Expiration != "" || !d.Timestamp.Equal(m.Timestamp) || string(d.Body) != "body" || d.DeliveryMode != amqp091.Persistent {
		t.Errorf("%+v", d)
	}
	for header, want := range map[string]any{
		"own": "header", "number": int32(7), "CC": nil, "x-zatoha-reason": errService.Error(), "x-zatoha-attempts": int64(3),
		"x-zatoha-connector": "test", "x-zatoha-service": "service", "x-zatoha-queue": queue, "x-zatoha-exchange": "",
		"x-zatoha-routing-key": queue, "x-zatoha-user-id": "guest", "x-zatoha-expiration": "600000",
	} {
		if d.Headers[header] != want {
			t.Errorf("header %s: %v, want %v", header, d.Headers[header], want)
		}
	}
	if n := ready(t, queue); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}

func TestPoisonCanBeParkedByAnExchange(t *testing.T) {
	queue, dead := newQueue(t, "classic", nil), newQueue(t, "classic", nil)
	exchange := queue + "-dlx"
	admin(t, func(c *amqp091.Channel) error {
		return c.ExchangeDeclare(exchange, "direct", true, false, false, false, nil)
	})
	t.Cleanup(func() { admin(t, func(c *amqp091.Channel) error { return c.ExchangeDelete(exchange, false, false) }) })
	put(t, queue, named("1"))
	r := runChannel(t, map[string]any{"queue": queue, "dead_letter": "exchange:" + exchange}, fail)

	// Nothing is bound: the message cannot be parked, and must not be lost.
	conformance.Eventually(t, "refusal", func() bool { return r.now().Counts.Unsettled > 0 })
	if counts := r.now().Counts; counts.Parked != 0 {
		t.Errorf("%+v", counts)
	}
	admin(t, func(c *amqp091.Channel) error { return c.QueueBind(dead, queue, exchange, false, nil) })
	conformance.Eventually(t, "parked message", func() bool { return ready(t, dead) == 1 })
	r.stop(t)
}

// TestTheDeadLetterQueueIsMadeAgain deletes it while the channel runs, whose other messages keep their connection.
func TestTheDeadLetterQueueIsMadeAgain(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	r := runChannel(t, map[string]any{"queue": queue, "max_attempts": 1}, fail)
	r.await(t, connector.Running)
	admin(t, func(c *amqp091.Channel) error {
		_, err := c.QueueDelete(queue+".dead-letter", false, false, false)
		return err
	})
	put(t, queue, named("1"), named("2"))
	conformance.Eventually(t, "verdicts", func() bool { return r.now().Counts.Parked == 2 })
	if counts := r.stop(t).Counts; counts.Unsettled != 0 || counts.Connects != 1 {
		t.Errorf("%+v", counts)
	}
	if n := len(take(t, queue+".dead-letter")); n != 2 {
		t.Errorf("%d messages are parked", n)
	}
}

func TestWhatIsMissingIsNamedAndWaitedFor(t *testing.T) {
	node.Start(t)
	name := fmt.Sprintf("missing-%d", queues.Add(1))
	r := runChannel(t, map[string]any{"queue": name}, succeed)
	if s := r.await(t, connector.BackingOff); !strings.Contains(s.Reason, name) || !strings.Contains(s.Reason, "refused") {
		t.Errorf("%+v", s)
	}
	admin(t, func(c *amqp091.Channel) error {
		_, err := c.QueueDeclare(name, true, false, false, false, nil)
		return err
	})
	r.await(t, connector.Running)
	admin(t, func(c *amqp091.Channel) error { // under the consumer
		_, err := c.QueueDelete(name, false, false, false)
		return err
	})
	if s := r.await(t, connector.BackingOff); !strings.Contains(s.Reason, name) {
		t.Errorf("%+v", s)
	}
	r.stop(t)
}

func TestAWrongPasswordIsRefusedAndNotShown(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	t.Setenv("ZATOHA_TEST_PASSWORD", "s3cr@t/")
	r := runChannel(t, map[string]any{"queue": queue, "url": "amqp://guest:${env:ZATOHA_TEST_PASSWORD}@" + node.Address() + "/"}, succeed)
	s := r.await(t, connector.BackingOff)
	if !strings.Contains(s.Reason, "refused") || strings.Contains(s.Reason, "s3cr") {
		t.Errorf("%+v", s)
	}
	r.stop(t)
}

func TestAQueueThatDoesNotCountIsFoundOut(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	put(t, queue, named("1"))
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": "quorum"}, fail)
	<-r.done
	if !errors.Is(r.err, connector.ErrDefinition) || r.now().State != connector.Failed || !strings.Contains(r.err.Error(), "queue_type") {
		t.Errorf("%v, %+v", r.err, r.now())
	}
	conformance.Eventually(t, "message in its queue", func() bool { return ready(t, queue) == 1 })
}

func TestAQuorumQueueIgnoresExclusiveAndThatIsFoundOut(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	r := runChannel(t, map[string]any{"queue": queue, "exclusive": true}, succeed)
	<-r.done
	if !errors.Is(r.err, connector.ErrDefinition) || !strings.Contains(r.err.Error(), "single_active") {
		t.Errorf("%v", r.err)
	}
}

func TestAQueueWithoutASingleActiveConsumerIsFoundOut(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		queue := newQueue(t, kind, nil)
		r := runChannel(t, map[string]any{"queue": queue, "queue_type": kind, "single_active": true}, succeed)
		if status := r.await(t, connector.BackingOff); !strings.Contains(status.Reason, "was declared without x-single-active-consumer") {
			t.Errorf("%s: %+v", kind, status)
		}
		r.stop(t)
	}
}

// The broker names that difference first, and nothing can be told.
func TestAQueueThatDiffersOtherwiseIsTakenForWhatItShouldBe(t *testing.T) {
	queue := newQueue(t, "classic", amqp091.Table{"x-single-active-consumer": true, "x-expires": int32(60_000)})
	r := runChannel(t, map[string]any{"queue": queue, "single_active": true}, succeed)
	r.await(t, connector.Running)
	r.stop(t)
}

func TestNoMoreIsInFlightThanPrefetched(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	for i := range 20 {
		put(t, queue, named(fmt.Sprint(i)))
	}
	var now, most atomic.Int64
	open := make(chan struct{})
	r := runChannel(t, map[string]any{"queue": queue, "prefetch_count": 2, "pool_size": 2}, func(context.Context, connector.Message) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-open
		now.Add(-1)
		return nil
	})
	conformance.Eventually(t, "4 in flight", func() bool { return now.Load() == 4 })
	if n := ready(t, queue); n != 16 {
		t.Errorf("%d wait", n)
	}
	close(open)
	conformance.Eventually(t, "end", func() bool { return r.now().Counts.Accepted == 20 })
	r.stop(t)
	if n := most.Load(); n != 4 {
		t.Errorf("%d were in flight", n)
	}
}

// TestAttemptsAreExactAlsoOverLostConnections loses the connection while a message is tried. The loss counts as an
// attempt, so the service fails it at most max_attempts times in all.
func TestAttemptsAreExactAlsoOverLostConnections(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	p := conformance.NewProxy(t, node.Address())
	var calls atomic.Int64
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": "quorum", "max_attempts": 4, "url": through(p.Address)},
		func(context.Context, connector.Message) error {
			if calls.Add(1) == 2 {
				p.Cut()
			}
			return errService
		})
	put(t, queue, amqp091.Publishing{Body: []byte("poison")})
	conformance.Eventually(t, "verdict", func() bool { return r.now().Counts.Parked == 1 })
	r.stop(t)
	if n := calls.Load(); n != 4 {
		t.Errorf("%d calls", n)
	}
	if dead := take(t, queue+".dead-letter"); len(dead) != 1 || dead[0].Headers["x-zatoha-attempts"] != int64(4) {
		t.Errorf("parked: %+v", dead)
	}
}

// TestOrderOutlivesAStop stops an ordered channel again and again with a message in hand.
func TestOrderOutlivesAStop(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			queue := newQueue(t, kind, nil)
			var want, got []string
			var messages []amqp091.Publishing
			for i := range 40 {
				want = append(want, fmt.Sprint(i))
				messages = append(messages, named(fmt.Sprint(i)))
			}
			put(t, queue, messages...)
			var mu sync.Mutex
			fields := map[string]any{"queue": queue, "queue_type": kind, "prefetch_count": 1}
			for len(got) < len(want) {
				n := 0
				stuck := make(chan struct{})
				r := runChannel(t, fields, func(_ context.Context, m connector.Message) error {
					mu.Lock()
					defer mu.Unlock()
					if n++; n > 10 { // the eleventh of each run is given back
						if n == 11 {
							close(stuck)
						}
						return fmt.Errorf("%w: away", connector.ErrUnavailable)
					}
					got = append(got, string(m.Body))
					return nil
				})
				conformance.Eventually(t, "ten more", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return n > 10 || len(got) == len(want)
				})
				r.stop(t)
			}
			if !slices.Equal(got, want) {
				t.Errorf("came as %q", got)
			}
		})
	}
}
