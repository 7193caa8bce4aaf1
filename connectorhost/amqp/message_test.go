package amqp

import (
	"errors"
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

func TestADeliveryTellsHowOftenThereWasOne(t *testing.T) {
	count := func(n any) amqp091.Table { return amqp091.Table{"x-delivery-count": n} }
	for _, test := range []struct {
		queueType   string
		d           amqp091.Delivery
		attempt     int
		redelivered bool
	}{
		{classic, amqp091.Delivery{}, 1, false},
		{classic, amqp091.Delivery{Redelivered: true}, 2, true},
		{quorum, amqp091.Delivery{Redelivered: true}, 2, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: count(int64(4))}, 5, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: count(int32(1))}, 2, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: count("4")}, 2, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: amqp091.Table{"x-acquired-count": int64(3)}}, 1, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: amqp091.Table{"x-acquired-count": int64(3), "x-delivery-count": int64(2)}}, 3, true},
		{quorum, amqp091.Delivery{Redelivered: true, Headers: count(int64(-4))}, 1, true},
		// The header came with the message, out of a queue where it was before.
		{quorum, amqp091.Delivery{Headers: count(int64(4))}, 1, false},
		{classic, amqp091.Delivery{Headers: count(int64(4))}, 1, false},
		{classic, amqp091.Delivery{Redelivered: true, Headers: count(int64(4))}, 2, true},
	} {
		s := &Settings{MaxMessageBytes: 10, QueueType: test.queueType}
		if m := s.received(&test.d); m.Attempt != test.attempt || m.Redelivered != test.redelivered {
			t.Errorf("%s, %+v: attempt %d, redelivered %v", test.queueType, test.d.Headers, m.Attempt, m.Redelivered)
		}
	}
}

func TestAMessageWithoutANameGetsOneForEachDelivery(t *testing.T) {
	s := &Settings{MaxMessageBytes: 10}
	named, bare := &amqp091.Delivery{MessageId: "a"}, &amqp091.Delivery{}
	if m := s.received(named); m.ID != "a" || !m.Stable {
		t.Errorf("%+v", m)
	}
	first, second := s.received(bare), s.received(bare)
	if first.ID == second.ID || first.ID == "" || first.Stable {
		t.Errorf("%+v, %+v", first, second)
	}
	if m := s.received(&amqp091.Delivery{Body: make([]byte, 11)}); !strings.Contains(m.Unfit, "11 bytes") {
		t.Errorf("%+v", m)
	}
}

func TestWhatAMessageSaysComesBeforeTheDefinition(t *testing.T) {
	s := &Settings{MaxMessageBytes: 10, Exchange: "e", RoutingKey: "k", ContentType: "text/plain", Expiration: "5", DeliveryMode: 2, AppID: "app"}
	exchange, key, p, err := s.sending(connector.Message{ID: "a", ContentType: "x/y", Properties: map[string]string{"routing_key": "own", "header.h": "v", "unknown": "z"}})
	if err != nil || exchange != "e" || key != "own" || p.MessageId != "a" || p.ContentType != "text/plain" || p.Headers["h"] != "v" || len(p.Headers) != 1 ||
		p.Expiration != "5" || p.AppId != "app" || p.DeliveryMode != 2 {
		t.Errorf("%q %q %+v %v", exchange, key, p, err)
	}
	if _, _, p, err := s.sending(connector.Message{ID: "a", Properties: map[string]string{"content_type": "x/y"}}); err != nil || p.ContentType != "x/y" {
		t.Errorf("%+v %v", p, err)
	}
	long := strings.Repeat("x", 256)
	for _, m := range []connector.Message{
		{Body: make([]byte, 11)},
		{ID: long},
		{Properties: map[string]string{"reply_to": long}},
		{Properties: map[string]string{"header." + long: ""}},
		{Properties: map[string]string{"expiration": "-1"}},
		{Properties: map[string]string{"header.CC": "orders"}},
		{Properties: map[string]string{"header.BCC": ""}},
		{Properties: map[string]string{"header.a": strings.Repeat("x", maxHeaders/2), "header.b": strings.Repeat("x", maxHeaders/2)}},
	} {
		if _, _, _, err := s.sending(m); !errors.Is(err, connector.ErrUnfit) {
			t.Errorf("%.40v: %v", m, err)
		}
	}
}

func TestTheBrokersWordsChooseBehaviour(t *testing.T) {
	for _, test := range []struct {
		err  error
		want error
	}{
		{&amqp091.Error{Code: 403, Reason: "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"}, connector.ErrHeld},
		{&amqp091.Error{Code: 405, Reason: "RESOURCE_LOCKED"}, connector.ErrHeld},
		{&amqp091.Error{Code: 403, Reason: "username or password not allowed"}, connector.ErrRefused},
		{&amqp091.Error{Code: 404, Reason: "NOT_FOUND - no queue 'q'"}, connector.ErrRefused},
		{&amqp091.Error{Code: 530, Reason: "NOT_ALLOWED - vhost x not found"}, connector.ErrRefused},
		{&amqp091.Error{Code: 406, Reason: "PRECONDITION_FAILED - inequivalent arg"}, connector.ErrRefused},
		{&amqp091.Error{Code: 406, Reason: "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"}, connector.ErrNotConnected},
		{&amqp091.Error{Code: 320, Reason: "CONNECTION_FORCED"}, connector.ErrNotConnected},
		{amqp091.ErrClosed, connector.ErrNotConnected},
		{errors.New("read: connection reset"), connector.ErrNotConnected},
		{connector.ErrBackOff, connector.ErrBackOff},
	} {
		if got := classify(test.err); !errors.Is(got, test.want) {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
	if classify(nil) != nil {
		t.Error("nothing is an error")
	}
}
