package rabbitmq

import (
	"maps"
	"testing"

	"github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"zatoha/connectorhost/conformance"
)

// harness is a queue for one case.
type harness struct {
	queue  string
	fields map[string]any
	proxy  *conformance.Proxy // nil if the broker itself is stopped and started
}

func newHarness(kind string, arguments amqp091.Table, fields map[string]any, proxied bool) conformance.Factory {
	return func(t *testing.T) conformance.Harness {
		h := &harness{queue: newQueue(t, kind, arguments), fields: map[string]any{"queue_type": kind}}
		maps.Copy(h.fields, fields)
		if proxied {
			h.proxy = conformance.NewProxy(t, node.Address())
		}
		t.Cleanup(func() {
			admin(t, func(c *amqp091.Channel) error {
				_, err := c.QueueDelete(h.queue+".dead-letter", false, false, false)
				return err
			})
		})
		return h
	}
}

func (h *harness) url() string {
	if h.proxy != nil {
		return through(h.proxy.Address)
	}
	return node.URL()
}

func (h *harness) Channel(*testing.T) map[string]any {
	fields := map[string]any{"url": h.url(), "queue": h.queue}
	maps.Copy(fields, h.fields)
	return fields
}

func (h *harness) Start(t *testing.T) {
	if h.proxy != nil {
		h.proxy.Up()
		return
	}
	node.Start(t)
}

func (h *harness) Stop(t *testing.T) {
	if h.proxy != nil {
		h.proxy.Down()
		return
	}
	node.Stop(t)
}

func (h *harness) Put(t *testing.T, id string, body []byte) {
	put(t, h.queue, amqp091.Publishing{MessageId: id, Body: body})
}

func (h *harness) Waiting(t *testing.T) int { return ready(t, h.queue) }

func (h *harness) Parked(t *testing.T) (all []conformance.Parked) {
	for _, d := range take(t, h.queue+".dead-letter") {
		reason, _ := d.Headers["x-zatoha-reason"].(string)
		all = append(all, conformance.Parked{ID: d.MessageId, Body: d.Body, Reason: reason})
	}
	return all
}

func (h *harness) Ordered() map[string]any {
	return map[string]any{"prefetch_count": 1, "pool_size": 1}
}

// Exclusive consumers are for classic queues.
func (h *harness) Exclusive() map[string]any {
	if h.fields["queue_type"] == "quorum" {
		return nil
	}
	return map[string]any{"exclusive": true, "pool_size": 1}
}

func (h *harness) Limited(bytes int) map[string]any {
	return map[string]any{"max_message_bytes": bytes}
}

func (h *harness) Outgoing(*testing.T) map[string]any {
	return map[string]any{"url": h.url(), "routing_key": h.queue}
}

// nodeRuns is of a node that is started during a case, and outlives it.
var nodeRuns = goleak.IgnoreAnyFunction("zatoha/deploy/cluster.(*Process).live")

func TestAQuorumQueueConforms(t *testing.T) {
	conformance.Run(t, "amqp", newHarness("quorum", nil, nil, false), nodeRuns)
}

func TestAClassicQueueConforms(t *testing.T) {
	conformance.Run(t, "amqp", newHarness("classic", nil, nil, true))
}

func TestAPoolOfConsumersConforms(t *testing.T) {
	conformance.Run(t, "amqp", newHarness("quorum", nil, map[string]any{"pool_size": 3, "prefetch_count": 5}, true))
}

func TestASingleActiveConsumerConforms(t *testing.T) {
	conformance.Run(t, "amqp", newHarness("quorum", amqp091.Table{"x-single-active-consumer": true},
		map[string]any{"single_active": true}, true))
}
