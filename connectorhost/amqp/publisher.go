package amqp

import (
	"context"
	"fmt"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
)

// publisher publishes on one AMQP channel, and knows of each message whether the broker has it. It may be used
// concurrently.
//
// The broker sends what it cannot route back before it confirms it, so when a confirmation has come, and the message was
// not among what came back before, it is in a queue.
type publisher struct {
	link    *link
	channel *amqp091.Channel
	confirm bool
	asked   chan question
}

// question asks whether a message has come back. It is answered once.
type question struct {
	key    routeKey
	answer chan<- string // why it came back; "" if it did not
}

// routeKey is by what a returned message is known. Two of the same key on their way at once share their fate.
type routeKey struct{ id, exchange, routingKey string }

func (l *link) publisher(ctx context.Context, confirm bool) (*publisher, error) {
	channel, err := l.channel(ctx)
	if err != nil {
		return nil, err
	}
	p := &publisher{link: l, channel: channel, confirm: confirm, asked: make(chan question)}
	returns := channel.NotifyReturn(make(chan amqp091.Return, 16))
	l.watchers.Go(func() { p.collect(returns) })
	if !confirm {
		return p, nil
	}
	return p, l.guard(ctx, callTime, "select confirms", func() error { return channel.Confirm(false) })
}

// collect keeps what comes back until its publisher asks.
func (p *publisher) collect(returns <-chan amqp091.Return) {
	back := map[routeKey]string{}
	keep := func(r amqp091.Return) {
		back[routeKey{r.MessageId, r.Exchange, r.RoutingKey}] = fmt.Sprintf("%s (%d)", r.ReplyText, r.ReplyCode)
	}
	for {
		select {
		case r, open := <-returns:
			if !open {
				return
			}
			keep(r)
		case q := <-p.asked:
			for pending := true; pending; { // what was returned before the confirmation is here by now
				select {
				case r, open := <-returns:
					if pending = open; open {
						keep(r)
					}
				default:
					pending = false
				}
			}
			q.answer <- back[q.key]
			delete(back, q.key)
		}
	}
}

// publish returns nil when the broker has confirmed the message and, if it is mandatory, put it into a queue. Without
// confirms it returns when the message is written.
func (p *publisher) publish(ctx context.Context, exchange, routingKey string, mandatory bool, m amqp091.Publishing) error {
	var confirmation *amqp091.DeferredConfirmation
	err := p.link.write("publish", func() (err error) {
		confirmation, err = p.channel.PublishWithDeferredConfirm(exchange, routingKey, mandatory, false, m)
		return err
	})
	if err != nil || !p.confirm {
		return err
	}
	select {
	case <-confirmation.Done():
	case <-p.link.lost:
		return fmt.Errorf("await the confirmation: %w", p.link.reason())
	case <-ctx.Done():
		return fmt.Errorf("%w: the broker did not confirm it in time, and may have it: %w", connector.ErrBackOff, ctx.Err())
	}
	if !confirmation.Acked() {
		return p.refused(ctx)
	}
	if !mandatory {
		return nil
	}
	return p.routed(ctx, routeKey{m.MessageId, exchange, routingKey})
}

// refused is why a confirmation was negative: the channel is gone, or a queue takes no more.
func (p *publisher) refused(ctx context.Context) error {
	if p.channel.IsClosed() {
		select {
		case <-p.link.lost:
			return fmt.Errorf("await the confirmation: %w", p.link.reason())
		case <-ctx.Done():
			return fmt.Errorf("await the confirmation: %w", errHungUp)
		}
	}
	return fmt.Errorf("%w: the broker refused it, as full queues do", connector.ErrBackOff)
}

func (p *publisher) routed(ctx context.Context, key routeKey) error {
	answer := make(chan string, 1)
	select {
	case p.asked <- question{key, answer}:
	case <-p.link.lost:
		return fmt.Errorf("ask whether it was returned: %w", p.link.reason())
	case <-ctx.Done():
		return fmt.Errorf("ask whether it was returned: %w: %w", connector.ErrBackOff, ctx.Err())
	}
	if why := <-answer; why != "" {
		return fmt.Errorf("%w: it was returned: %s: no queue is bound to exchange %q for routing key %q",
			connector.ErrUnfit, why, key.exchange, key.routingKey)
	}
	return nil
}
