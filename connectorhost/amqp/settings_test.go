package amqp

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
)

const (
	channel  = `{"name": "orders", "kind": "amqp", "role": "channel", "service": "order.new", "url": "amqp://me:${env:P}@mq/shop", "queue": "orders"`
	outgoing = `{"name": "bills", "kind": "amqp", "role": "outgoing", "url": "amqps://me:secret@mq/shop", "exchange": "bills"`
)

func decoded(t *testing.T, text string) *Settings {
	t.Helper()
	d, err := connector.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d.Settings.(*Settings)
}

func TestAChannelHasItsDefaults(t *testing.T) {
	s := decoded(t, channel+"}")
	if s.Heartbeat != 5*time.Second || s.PoolSize != 1 || s.PrefetchCount != 20 || s.QueueType != "classic" || s.DeadQueue != "orders.dead-letter" ||
		s.DeadExchange != "" || s.ConsumerTagPrefix != "zatoha-orders" || s.MaxMessageBytes != 16<<20 || s.InFlight() != 20 {
		t.Errorf("%+v", s)
	}
	if can := s.Capabilities(); can.Ordered || can.Counts || can.Exclusive || !can.RetryInPlace || !can.Prepare || can.Guarantee != connector.AtLeastOnce {
		t.Errorf("%+v", can)
	}
}

func TestCapabilitiesFollowTheSettings(t *testing.T) {
	for fields, want := range map[string]connector.Capabilities{
		`, "queue_type": "quorum"}`:                        {Counts: true},
		`, "queue_type": "quorum", "prefetch_count": 1}`:   {Counts: true, Ordered: true, RetryInPlace: true},
		`, "prefetch_count": 1, "pool_size": 2}`:           {RetryInPlace: true},
		`, "exclusive": true}`:                             {Exclusive: true, RetryInPlace: true},
		`, "queue_type": "quorum", "single_active": true}`: {Counts: true, Exclusive: true},
	} {
		got := decoded(t, channel+fields).Capabilities()
		want.Guarantee, want.Redelivers, want.DeadLetter, want.Prepare = connector.AtLeastOnce, true, true, true
		if got != want {
			t.Errorf("%s: %+v, want %+v", fields, got, want)
		}
	}
}

func TestAnOutgoingConnectorConfirmsUnlessToldOtherwise(t *testing.T) {
	s := decoded(t, outgoing+"}")
	if !s.Confirm || !s.Mandatory || s.DeliveryMode != 2 || s.InFlight() != 500 {
		t.Errorf("%+v", s)
	}
	if s := decoded(t, outgoing+`, "confirm": false}`); s.Confirm || s.Mandatory {
		t.Errorf("%+v", s)
	}
}

func TestADeadLetterMayBeAQueueOrAnExchange(t *testing.T) {
	if s := decoded(t, channel+`, "dead_letter": "d"}`); s.DeadQueue != "d" || s.DeadExchange != "" {
		t.Errorf("%+v", s)
	}
	if s := decoded(t, channel+`, "dead_letter": "exchange:d"}`); s.DeadQueue != "" || s.DeadExchange != "d" {
		t.Errorf("%+v", s)
	}
}

func TestFaultsAreReportedByField(t *testing.T) {
	long := strings.Repeat("x", 256)
	for text, want := range map[string][]string{
		channel + `, "url": 1}`: {"url is there twice", "url must be a text"},
		strings.Replace(channel, "amqp://me:${env:P}@mq/shop", "http://mq", 1) + "}":                       {"url must begin with amqp:// or amqps://"},
		strings.Replace(channel, "amqp://me:${env:P}@mq/shop", "amqp://me:s3cret%zz@mq", 1) + "}":          {"url is no address"},
		strings.Replace(channel, "amqp://me:${env:P}@mq/shop", "amqp:///shop", 1) + "}":                    {"url names no host"},
		strings.Replace(channel, "mq/shop", "mq/shop?heartbeat=60", 1) + "}":                               {"url has the parameter heartbeat: leave it out"},
		strings.Replace(channel, "${env:P}", "${env:", 1) + "}":                                            {"url has a ${ without a }"},
		`{"name": "a", "kind": "amqp", "role": "channel", "service": "s"}`:                                 {"url is missing", "queue is missing"},
		channel + `, "prefetch_count": 0, "pool_size": 101, "heartbeat": 0, "max_message_bytes": 0}`:       {"prefetch_count is 0, must be 1 to 10000", "pool_size is 101", "heartbeat is 0, must be 1 to 60", "max_message_bytes is 0"},
		channel + `, "exclusive": true, "single_active": true, "pool_size": 2}`:                            {"single_active and exclusive exclude each other", "pool_size is 2, must be 1"},
		channel + `, "exclusive": true, "queue_type": "quorum"}`:                                           {"exclusive does nothing on a quorum queue"},
		channel + `, "queue_type": "stream"}`:                                                              {`queue_type is "stream": use classic or quorum`},
		channel + `, "dead_letter": "orders"}`:                                                             {"dead_letter is the queue itself"},
		channel + `, "dead_letter": "exchange:"}`:                                                          {"dead_letter names no exchange"},
		channel + `, "dead_letter": "` + long + `", "consumer_tag_prefix": "` + long + `"}`:                {"dead_letter has 256 bytes", "consumer_tag_prefix has 256 bytes"},
		channel + `, "exchange": "x"}`:                                                                     {"exchange is no field of channel connectors of kind amqp"},
		outgoing + `, "queue": "x"}`:                                                                       {"queue is no field of outgoing connectors of kind amqp"},
		outgoing + `, "delivery_mode": 3, "priority": 256, "expiration": "1m", "user_id": "` + long + `"}`: {"delivery_mode is 3, must be 1 to 2", "priority is 256", `expiration is "1m"`, "user_id has 256 bytes"},
		outgoing + `, "confirm": false, "mandatory": true}`:                                                {"mandatory needs confirm"},
		strings.Replace(outgoing, `, "exchange": "bills"`, "", 1) + "}":                                    {"routing_key is missing"},
	} {
		_, err := connector.Decode([]byte(text))
		if err == nil {
			t.Errorf("%s: is taken", text)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s:\n%v\ndoes not say %q", text, err, part)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v shows a password", err)
		}
	}
}

func TestTheDefinitionShowsNoPassword(t *testing.T) {
	d, err := connector.Decode([]byte(outgoing + "}"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil || strings.Contains(string(text), "secret") || !strings.Contains(string(text), `"url":"***"`) {
		t.Errorf("%s, %v", text, err)
	}
}
