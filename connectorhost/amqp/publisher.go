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
	// is taken from the first without the lock, so a message that has come back is in it or noted.
	returned <-chan amqp091.Return
	more     <-chan amqp091.Return // says that something is in returned, where it must not stay: the library waits for room

	mu     sync.Mutex
	flying map[routeKey]*flight // messages that must be put into a queue
}

// routeKey is by what a returned message is known.
type routeKey struct{ id, exchange, routingKey string }

// flight is one or more messages of the same key that are on their way at once. They share their fate.
type flight struct {
	messages int
	back     string // why one has come back
}

func (l *link) publisher(ctx context.Context, confirm bool) (*publisher, error) {
	channel, err := l.channel(ctx)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		link: l, channel: channel, confirm: confirm, flying: map[routeKey]*flight{},
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

// collect notes what has come back, if anybody still waits for it. The caller has the lock.
func (p *publisher) collect() {
	for {
		select {
		case r, open := <-p.returned:
			if !open {
				return
			}
			if f := p.flying[routeKey{r.MessageId, r.Exchange, r.RoutingKey}]; f != nil {
				f.back = fmt.Sprintf("%s (%d)", r.ReplyText, r.ReplyCode)
			}
		default:
			return
		}
	}
}

// publish returns nil when the broker has confirmed the message and, if it is mandatory, put it into a queue. Without
// confirms it returns when the message is written.
func (p *publisher) publish(ctx context.Context, exchange, routingKey string, mandatory bool, m amqp091.Publishing) error {
	if !mandatory || !p.confirm {
		return p.send(ctx, exchange, routingKey, mandatory, m)
	}
	key := routeKey{m.MessageId, exchange, routingKey}
	p.begin(key)
	err := p.send(ctx, exchange, routingKey, mandatory, m)
	if back := p.end(key); err == nil && back != "" {
		return fmt.Errorf("%w: it was returned: %s: no queue is bound to exchange %q for routing key %q",
			connector.ErrUnfit, back, exchange, routingKey)
	}
	return err
}

// begin notes that a message goes on its way.
func (p *publisher) begin(key routeKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flying[key] == nil {
		p.flying[key] = &flight{}
	}
	p.flying[key].messages++
}

// end says why a message has come back that nobody waits for any more; "" if it has not.
func (p *publisher) end(key routeKey) (back string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collect()
	f := p.flying[key]
	if f.messages--; f.messages == 0 {
		delete(p.flying, key)
	}
	return f.back
}

// send publishes a message and awaits its confirmation, if there is to be one.
func (p *publisher) send(ctx context.Context, exchange, routingKey string, mandatory bool, m amqp091.Publishing) error {
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
	return nil
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
