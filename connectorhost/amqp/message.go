package amqp

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

// Headers that a parked message has in addition to its own.
const (
	headerReason     = "x-zatoha-reason"      // why it was parked
	headerAttempts   = "x-zatoha-attempts"    // how often the service was tried
	headerConnector  = "x-zatoha-connector"   // by which connector
	headerService    = "x-zatoha-service"     // with which service
	headerQueue      = "x-zatoha-queue"       // out of which queue
	headerExchange   = "x-zatoha-exchange"    // how it came there
	headerRoutingKey = "x-zatoha-routing-key" //
	headerParked     = "x-zatoha-parked"      // when, RFC 3339
	headerUserID     = "x-zatoha-user-id"     // its user-id, which only that user could send
	headerExpiration = "x-zatoha-expiration"  // its expiration, after which it would be gone
)

// Headers of quorum queues that deliver again.
const (
	headerDeliveries = "x-delivery-count"
	headerAcquired   = "x-acquired-count" // from RabbitMQ 4.3 on: there also when nothing of that was a failure
)

// maxReason is how much of a reason goes into the header, in bytes.
const maxReason = 2000

// received makes a message of a delivery.
func (s *Settings) received(d *amqp091.Delivery) connector.Message {
	m := connector.Message{
		ID: d.MessageId, Stable: d.MessageId != "", Redelivered: d.Redelivered, Attempt: 1, Body: d.Body, ContentType: d.ContentType,
		Properties: properties(d),
	}
	if !m.Stable {
		m.ID = connector.RandomID()
	}
	if d.Redelivered {
		m.Attempt = 2
		// Only a quorum queue that delivers again writes the count. Else it came with the message, from a queue where it was
		// before.
		if before, counted := deliveries(d.Headers); counted && s.QueueType == quorum {
			m.Attempt = before + 1
		}
	}
	if len(d.Body) > s.MaxMessageBytes {
		m.Unfit = fmt.Sprintf("it has %d bytes, more than max_message_bytes, %d", len(d.Body), s.MaxMessageBytes)
	}
	return m
}

// deliveries are how often a quorum queue has delivered a message before, as far as that counts.
func deliveries(headers amqp091.Table) (before int, counted bool) {
	switch n := headers[headerDeliveries].(type) {
	case int64:
		return int(min(max(n, 0), 1<<30)), true
	case int32:
		return int(max(n, 0)), true
	}
	_, counted = headers[headerAcquired]
	return 0, counted
}

func properties(d *amqp091.Delivery) map[string]string {
	all := map[string]string{"exchange": d.Exchange, "routing_key": d.RoutingKey}
	add := func(name, value string) {
		if value != "" {
			all[name] = value
		}
	}
	add("correlation_id", d.CorrelationId)
	add("reply_to", d.ReplyTo)
	add("type", d.Type)
	add("app_id", d.AppId)
	add("content_encoding", d.ContentEncoding)
	return all
}

// parked makes of a delivery what is published when it is parked: the same, with the reason.
func (s *Settings) parked(name, service, id string, d *amqp091.Delivery, outcome connector.Outcome) amqp091.Publishing {
	headers := maps.Clone(d.Headers)
	if headers == nil {
		headers = amqp091.Table{}
	}
	for _, dangerous := range []string{"CC", "BCC", headerDeliveries, headerAcquired} { // they would have the broker send it elsewhere too
		delete(headers, dangerous)
	}
	maps.Copy(headers, amqp091.Table{
		headerReason: connector.Shorten(outcome.Reason, maxReason), headerAttempts: int64(outcome.Attempts), headerConnector: name, headerService: service,
		headerQueue: s.Queue, headerExchange: d.Exchange, headerRoutingKey: d.RoutingKey, headerParked: time.Now().UTC().Format(time.RFC3339),
	})
	if d.UserId != "" {
		headers[headerUserID] = d.UserId
	}
	if d.Expiration != "" {
		headers[headerExpiration] = d.Expiration
	}
	return amqp091.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp091.Persistent,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: id, Timestamp: d.Timestamp,
		Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
}

// sending makes of a message what is published, and says where to. What the message's properties say comes before the
// definition. The error is an [connector.ErrUnfit].
func (s *Settings) sending(m connector.Message) (exchange, routingKey string, p amqp091.Publishing, err error) {
	if len(m.Body) > s.MaxMessageBytes {
		return "", "", p, fmt.Errorf("%w: it has %d bytes, more than max_message_bytes, %d", connector.ErrUnfit, len(m.Body), s.MaxMessageBytes)
	}
	property := func(name, otherwise string) string {
		value := otherwise
		if own, there := m.Properties[name]; there {
			value = own
		}
		if len(value) > maxShort && err == nil {
			err = fmt.Errorf("%w: its %s has %d bytes, must have at most %d", connector.ErrUnfit, name, len(value), maxShort)
		}
		return value
	}
	p = amqp091.Publishing{
		Headers: amqp091.Table{}, ContentType: property("content_type", s.mediaType(m)), ContentEncoding: property("content_encoding", s.ContentEncoding),
		DeliveryMode: uint8(s.DeliveryMode), Priority: uint8(s.Priority), CorrelationId: property("correlation_id", ""),
		ReplyTo: property("reply_to", ""), Expiration: property("expiration", s.Expiration), MessageId: property("message_id", m.ID),
		Timestamp: time.Now(), Type: property("type", ""), UserId: s.UserID, AppId: property("app_id", s.AppID), Body: m.Body,
	}
	routingKey = property("routing_key", s.RoutingKey)
	if !validExpiration(p.Expiration) && err == nil {
		err = fmt.Errorf("%w: its expiration is %q, must be a number of milliseconds", connector.ErrUnfit, p.Expiration)
	}
	if unfit := addHeaders(p.Headers, m.Properties); err == nil {
		err = unfit
	}
	return s.Exchange, routingKey, p, err
}

// addHeaders adds the headers that a message is sent with. Those that the broker does not take would end the connection,
// and with it what else is on its way.
func addHeaders(to amqp091.Table, properties map[string]string) error {
	size := 0
	for name, value := range properties {
		header, found := strings.CutPrefix(name, "header.")
		if !found {
			continue
		}
		size += len(header) + len(value)
		switch {
		case len(header) > maxShort:
			return fmt.Errorf("%w: the name of a header has %d bytes, must have at most %d", connector.ErrUnfit, len(header), maxShort)
		case header == "CC", header == "BCC":
			return fmt.Errorf("%w: it has the header %s, which must be a list for RabbitMQ, and is a text here: use a binding", connector.ErrUnfit, header)
		case size > maxHeaders:
			return fmt.Errorf("%w: its headers have more than %d bytes", connector.ErrUnfit, maxHeaders)
		}
		to[header] = value
	}
	return nil
}

func (s *Settings) mediaType(m connector.Message) string {
	if s.ContentType != "" {
		return s.ContentType
	}
	return m.ContentType
}
