package amqp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

// source consumes.
type source struct {
	settings *Settings
	env      connector.Environment

	link      *link
	consumers []*consumer
	arrived   <-chan amqp091.Delivery // from all consumers
	parking   *publisher
}

// consumer is one of the pool, with an AMQP channel of its own.
type consumer struct {
	tag        string
	channel    *amqp091.Channel
	deliveries <-chan amqp091.Delivery // nil while it does not consume
}

func (s *source) Connect(ctx context.Context) error {
	l, err := dial(ctx, s.settings, s.env)
	if err != nil {
		return err
	}
	s.link, s.consumers, s.arrived = l, nil, nil
	if err := s.checkQueues(ctx); err != nil {
		return err
	}
	if s.parking, err = l.publisher(ctx, true); err != nil {
		return fmt.Errorf("parking: %w", err)
	}
	for i := range s.settings.PoolSize {
		c := &consumer{tag: s.tag(i)}
		s.consumers = append(s.consumers, c)
		if err := s.open(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// tag names a consumer for whoever looks at the queue.
func (s *source) tag(i int) string {
	host, _ := os.Hostname()
	tag := fmt.Sprintf("%s-%.60s-%d", s.settings.ConsumerTagPrefix, host, os.Getpid())
	if i > 0 {
		tag += fmt.Sprint("-", i+1)
	}
	return tag
}

// open gives a consumer a channel. Its exceptions end the link once it consumes: a refusal to consume does not.
func (s *source) open(ctx context.Context, c *consumer) (err error) {
	if c.channel, err = s.link.bareChannel(ctx); err != nil {
		return err
	}
	return s.link.guard(ctx, callTime, "set prefetch_count", func() error { return c.channel.Qos(s.settings.PrefetchCount, 0, false) })
}

// checkQueues sees that the queue is there, and where to park. Only the queue for parked messages is made if it is
// missing.
func (s *source) checkQueues(ctx context.Context) error {
	if err := s.link.look(ctx, fmt.Sprintf("look for queue %q", s.settings.Queue), func(c *amqp091.Channel) error {
		_, err := c.QueueDeclarePassive(s.settings.Queue, true, false, false, false, nil)
		return err
	}); err != nil {
		return err
	}
	if err := s.checkSingleActive(ctx); err != nil {
		return err
	}
	if s.settings.DeadExchange != "" {
		return s.link.look(ctx, fmt.Sprintf("look for dead_letter exchange %q", s.settings.DeadExchange), func(c *amqp091.Channel) error {
			return c.ExchangeDeclarePassive(s.settings.DeadExchange, "direct", true, false, false, false, nil)
		})
	}
	return s.provide(ctx, s.link)
}

// checkSingleActive has the broker compare the queue with one that has a single active consumer. It names the first
// difference that it finds: if that is another one, or if we may not ask, the queue is taken for what it should be.
func (s *source) checkSingleActive(ctx context.Context) error {
	if !s.settings.SingleActive {
		return nil
	}
	const argument = "x-single-active-consumer"
	wanted := amqp091.Table{argument: true}
	if s.settings.QueueType == quorum {
		wanted["x-queue-type"] = quorum
	}
	err := s.link.look(ctx, "compare the queue", func(c *amqp091.Channel) error {
		_, err := c.QueueDeclare(s.settings.Queue, true, false, false, false, wanted)
		return err
	})
	switch {
	case !errors.Is(err, connector.ErrRefused):
		return err
	case strings.Contains(err.Error(), argument):
		return fmt.Errorf("%w: queue %q was declared without %s, so single_active does nothing: declare it anew with that", connector.ErrRefused,
			s.settings.Queue, argument)
	}
	return nil
}

// provide makes the queue for parked messages if it is missing.
func (s *source) provide(ctx context.Context, l *link) error {
	dead := s.settings.DeadQueue
	err := l.look(ctx, fmt.Sprintf("look for dead_letter queue %q", dead), func(c *amqp091.Channel) error {
		_, err := c.QueueDeclarePassive(dead, true, false, false, false, nil)
		return err
	})
	if !errors.Is(err, connector.ErrRefused) {
		return err
	}
	return l.look(ctx, fmt.Sprintf("declare dead_letter queue %q", dead), func(c *amqp091.Channel) error {
		_, err := c.QueueDeclare(dead, true, false, false, false, nil)
		return err
	})
}

func (s *source) Start(ctx context.Context) error {
	for _, c := range s.consumers {
		if c.deliveries != nil {
			continue
		}
		if c.channel.IsClosed() { // by a refusal
			if err := s.open(ctx, c); err != nil {
				return err
			}
		}
		var deliveries <-chan amqp091.Delivery
		err := s.link.guard(ctx, callTime, fmt.Sprintf("consume from queue %q", s.settings.Queue), func() (err error) {
			deliveries, err = c.channel.Consume(s.settings.Queue, c.tag, false, s.settings.Exclusive, false, false, nil)
			return err
		})
		if err != nil {
			return err
		}
		if s.settings.Exclusive {
			if err := s.proveExclusive(ctx, c); err != nil {
				return err
			}
		}
		c.deliveries = deliveries
		s.watch(c)
	}
	s.merge()
	return nil
}

// proveExclusive has the broker refuse a second exclusive consumer. A quorum queue would accept any number.
func (s *source) proveExclusive(ctx context.Context, first *consumer) error {
	err := s.link.look(ctx, "prove that the consumer is exclusive", func(c *amqp091.Channel) error {
		_, err := c.Consume(s.settings.Queue, first.tag+"-second", false, true, false, false, nil)
		return err
	})
	switch {
	case err == nil:
		return fmt.Errorf("%w: queue %q ignores exclusive, as quorum queues do: declare it with x-single-active-consumer, and use single_active",
			connector.ErrDefinition, s.settings.Queue)
	case errors.Is(err, connector.ErrHeld):
		return nil
	}
	return err
}

// watch ends the link when a consumer gets no more.
func (s *source) watch(c *consumer) {
	l := s.link
	l.watchChannel(c.channel)
	cancels := c.channel.NotifyCancel(make(chan string, 1))
	l.watchers.Go(func() {
		for range cancels {
			l.fail(fmt.Errorf("%w: the broker cancelled the consumer: queue %q was deleted, or lost its leader",
				connector.ErrNotConnected, s.settings.Queue))
		}
	})
}

// merge lets all consumers be received from at once.
func (s *source) merge() {
	if len(s.consumers) == 1 {
		s.arrived = s.consumers[0].deliveries
		return
	}
	l, all := s.link, make(chan amqp091.Delivery)
	for _, c := range s.consumers {
		l.watchers.Go(func() {
			for d := range c.deliveries {
				select {
				case all <- d:
				case <-l.lost:
					return
				}
			}
		})
	}
	s.arrived = all
}

func (s *source) Receive(ctx context.Context) (connector.Delivery, error) {
	select {
	case <-s.link.lost: // what has arrived comes again
		return connector.Delivery{}, s.link.reason()
	default:
	}
	arrived := s.arrived
	for {
		select {
		case d, open := <-arrived:
			if open {
				return s.deliver(d)
			}
			arrived = nil // the reason is on its way
		case <-s.link.lost:
			return connector.Delivery{}, s.link.reason()
		case <-ctx.Done():
			return connector.Delivery{}, ctx.Err()
		}
	}
}

// Lost makes it a [connector.Watched].
func (s *source) Lost() <-chan struct{} { return s.link.lost }

// deliver makes a delivery of what has arrived.
func (s *source) deliver(d amqp091.Delivery) (connector.Delivery, error) {
	m := s.settings.received(&d)
	if s.settings.QueueType == quorum && d.Redelivered {
		if _, counted := deliveries(d.Headers); !counted {
			return connector.Delivery{}, fmt.Errorf("%w: queue_type is quorum, but queue %q does not count deliveries: "+
				"set queue_type to classic, or leave it out", connector.ErrDefinition, s.settings.Queue)
		}
	}
	l, parking := s.link, s.parking
	return connector.Delivery{Message: m, Settle: func(ctx context.Context, verdict connector.Verdict, outcome connector.Outcome) error {
		select {
		case <-l.lost:
			return l.reason()
		default:
		}
		switch verdict {
		case connector.Accept:
			return told("acknowledge", d.Ack(false))
		case connector.GiveBack:
			return s.giveBack(l, &d)
		}
		return s.park(ctx, l, parking, m.ID, &d, outcome)
	}}, nil
}

// giveBack returns a delivery to the queue. RabbitMQ puts what is given back at the end of a quorum queue, but what it
// had sent over a connection that ends, in its old place. So where order counts the end is waited for: nothing is given
// back there but at a stop. Elsewhere it is rejected, not nacked, which from RabbitMQ 4.3 on is not counted.
func (s *source) giveBack(l *link, d *amqp091.Delivery) error {
	if s.settings.Capabilities().Ordered {
		return nil
	}
	return told("give back", d.Reject(true))
}

// park publishes the message to where parked ones go, and acknowledges it when the broker has confirmed that.
func (s *source) park(ctx context.Context, l *link, parking *publisher, id string, d *amqp091.Delivery, outcome connector.Outcome) error {
	key := s.settings.DeadQueue
	if s.settings.DeadExchange != "" {
		key = d.RoutingKey
	}
	publishing := s.settings.parked(s.env.Name, s.settings.service, id, d, outcome)
	err := parking.publish(ctx, s.settings.DeadExchange, key, true, publishing)
	if errors.Is(err, connector.ErrUnfit) && s.settings.DeadExchange == "" { // somebody has deleted the queue since we connected
		if err = s.provide(ctx, l); err == nil {
			err = parking.publish(ctx, "", key, true, publishing)
		}
	}
	if err == nil {
		return told("acknowledge the parked message", d.Ack(false))
	}
	err = fmt.Errorf("park: %w", err)
	if s.settings.Capabilities().Ordered {
		l.fail(fmt.Errorf("%w: so that a message keeps its place that could not be parked: %w", connector.ErrNotConnected, err))
		return err
	}
	return errors.Join(err, s.giveBack(l, d))
}

func (s *source) Stop(ctx context.Context) error {
	var failed error
	for _, c := range s.consumers {
		if c.deliveries == nil {
			continue
		}
		err := s.link.guard(ctx, callTime, "cancel the consumer", func() error { return c.channel.Cancel(c.tag, false) })
		failed = errors.Join(failed, err)
	}
	// What has arrived and was not received goes back when the connection is closed: it keeps its place then.
	return failed
}

func (s *source) Close(ctx context.Context) error {
	if s.link == nil {
		return nil
	}
	l := s.link
	s.link = nil
	return l.close(ctx)
}
