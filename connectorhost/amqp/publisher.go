package amqp

import (
	"context"
	"fmt"
	"sync"

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

	// The library sends what comes back to the one channel, then to the other, before it tells of the confirmation. Nothing
	// is taken from the first without the lock, so a message that has come back is in it or in back.
	returned <-chan amqp091.Return
	more     <-chan amqp091.Return // says that something is in returned, where it must not stay: the library waits for room

	mu   sync.Mutex
	back map[routeKey]string // why
}

// routeKey is by what a returned message is known. Two of the same key on their way at once share their fate.
type routeKey struct{ id, exchange, routingKey string }

func (l *link) publisher(ctx context.Context, confirm bool) (*publisher, error) {
	channel, err := l.channel(ctx)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		link: l, channel: channel, confirm: confirm, back: map[routeKey]string{},
		returned: channel.NotifyReturn(make(chan amqp091.Return, 1)), more: channel.NotifyReturn(make(chan amqp091.Return)),
	}
	l.watchers.Go(func() {
		for range p.more {
			p.mu.Lock()
			p.collect()
			p.mu.Unlock()
		}
	})
	if !confirm {
		return p, nil
	}
	return p, l.guard(ctx, callTime, "select confirms", func() error { return channel.Confirm(false) })
}

// collect keeps what has come back, if anybody is going to ask. The caller has the lock.
func (p *publisher) collect() {
	for {
		select {
		case r, open := <-p.returned:
			if !open {
				return
			}
			if p.confirm {
				p.back[routeKey{r.MessageId, r.Exchange, r.RoutingKey}] = fmt.Sprintf("%s (%d)", r.ReplyText, r.ReplyCode)
			}
		default:
			return
		}
	}
}

// publish returns nil when the broker has confirmed the message and, if it is mandatory, put it into a queue. Without
// confirms it returns when the message is written.
func (p *publisher) publish(ctx context.Context, exchange, routingKey string, mandatory bool, m amqp091.Publishing) error {
	confirmation, err := p.channel.PublishWithDeferredConfirm(exchange, routingKey, mandatory, false, m)
	if err != nil || !p.confirm {
		return told("publish", err)
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
	return p.routed(routeKey{m.MessageId, exchange, routingKey})
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

// routed says whether a confirmed message is in a queue: the error is why it came back.
func (p *publisher) routed(key routeKey) error {
	p.mu.Lock()
	p.collect()
	why, unrouted := p.back[key]
	delete(p.back, key)
	p.mu.Unlock()
	if unrouted {
		return fmt.Errorf("%w: it was returned: %s: no queue is bound to exchange %q for routing key %q",
			connector.ErrUnfit, why, key.exchange, key.routingKey)
	}
	return nil
}
