package rabbitmq

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

func TestWhatIsSentHasItsProperties(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	s, r := runSender(t, map[string]any{
		"routing_key": queue, "priority": 4, "content_encoding": "gzip", "expiration": "60000", "user_id": "guest", "app_id": "zatoha",
		"data_format": "json", "delivery_mode": 1,
	})
	r.await(t, connector.Running)
	must(t, s.Send(within(t, bound), connector.Message{ID: "1", Body: []byte("{}"), Properties: map[string]string{
		"correlation_id": "c", "reply_to": "r", "type": "t", "header.own": "h",
	}}))
	all := take(t, queue)
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	d := all[0]
	if d.MessageId != "1" || d.Priority != 4 || d.ContentEncoding != "gzip" || d.ContentType != "application/json" || d.Expiration != "60000" ||
		d.UserId != "guest" || d.AppId != "zatoha" || d.DeliveryMode != amqp091.Transient || d.CorrelationId != "c" || d.ReplyTo != "r" ||
		d.Type != "t" || d.Headers["own"] != "h" || d.Timestamp.IsZero() {
		t.Errorf("%+v", d)
	}
}

func TestAMessageThatNoQueueTakesIsNotSent(t *testing.T) {
	queue := newQueue(t, "classic", amqp091.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	s, r := runSender(t, map[string]any{"routing_key": queue})
	r.await(t, connector.Running)
	send := func(properties map[string]string) error {
		return s.Send(within(t, bound), connector.Message{Body: []byte("x"), Properties: properties})
	}
	if err := send(map[string]string{"routing_key": "nowhere"}); !errors.Is(err, connector.ErrUnfit) || !strings.Contains(err.Error(), "NO_ROUTE") {
		t.Errorf("without a route: %v", err)
	}
	must(t, send(nil))
	if err := send(nil); !errors.Is(err, connector.ErrBackOff) {
		t.Errorf("to a full queue: %v", err)
	}
	if err := send(map[string]string{"expiration": "soon"}); !errors.Is(err, connector.ErrUnfit) {
		t.Errorf("a bad expiration: %v", err)
	}
	if counts := r.now(); counts.State != connector.Running || counts.Counts.Disconnects != 0 {
		t.Errorf("%+v", counts)
	}
	if n := ready(t, queue); n != 1 {
		t.Errorf("%d messages are there", n)
	}
}

// Many come back while others are confirmed, by the same AMQP channels: each sender hears of its own.
func TestWhatComesBackIsToldToItsSenderAmongMany(t *testing.T) {
	const senders, each = 40, 25
	queue := newQueue(t, "classic", nil)
	s, r := runSender(t, map[string]any{"routing_key": queue})
	r.await(t, connector.Running)
	ctx := within(t, bound)
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for j := range each {
				message := connector.Message{Body: []byte("x")}
				lost := (i+j)%2 == 0
				if lost {
					message.Properties = map[string]string{"routing_key": "nowhere"}
				}
				if err := s.Send(ctx, message); errors.Is(err, connector.ErrUnfit) != lost || !lost && err != nil {
					t.Errorf("without a route: %v, and the answer is %v", lost, err)
				}
			}
		})
	}
	all.Wait()
	if n := ready(t, queue); n != senders*each/2 {
		t.Errorf("%d messages are there", n)
	}
}

func TestAMissingExchangeIsNamed(t *testing.T) {
	node.Start(t)
	s, r := runSender(t, map[string]any{"exchange": "no-such-exchange"})
	if status := r.await(t, connector.BackingOff); !strings.Contains(status.Reason, "no-such-exchange") {
		t.Errorf("%+v", status)
	}
	if err := s.Send(within(t, bound), connector.Message{}); !errors.Is(err, connector.ErrNotConnected) || !strings.Contains(err.Error(), "no-such-exchange") {
		t.Errorf("%v", err)
	}
}

func TestABlockedBrokerIsSeenAndSendsAreRefused(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	s, r := runSender(t, map[string]any{"routing_key": queue})
	r.await(t, connector.Running)
	send := func(patience time.Duration) error {
		return s.Send(within(t, patience), connector.Message{Body: []byte("x")})
	}
	must(t, send(bound))
	node.Control(t, "set_vm_memory_high_watermark", "absolute", "1")
	defer node.Control(t, "set_vm_memory_high_watermark", "0.6")
	// RabbitMQ tells a publisher when it publishes.
	conformance.Eventually(t, "blocked state", func() bool {
		_ = send(100 * time.Millisecond)
		return r.now().State == connector.Blocked
	})
	if err := send(bound); !errors.Is(err, connector.ErrBackOff) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
	node.Control(t, "set_vm_memory_high_watermark", "0.6")
	r.await(t, connector.Running)
	must(t, send(bound))
}
