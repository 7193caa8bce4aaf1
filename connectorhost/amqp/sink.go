package amqp

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"zatoha/connectorhost/connector"
)

// sendTime bounds a send that the caller does not bound.
const sendTime = 30 * time.Second

// sink publishes.
type sink struct {
	settings   *Settings
	env        connector.Environment
	link       *link
	publishers []*publisher
	turn       atomic.Uint64
}

func (s *sink) Connect(ctx context.Context) error {
	l, err := dial(ctx, s.settings, s.env)
	if err != nil {
		return err
	}
	s.link = l
	s.publishers = nil
	for range s.settings.PoolSize {
		p, err := l.publisher(ctx, s.settings.Confirm)
		if err != nil {
			return err
		}
		s.publishers = append(s.publishers, p)
	}
	if s.settings.Exchange == "" {
		return nil
	}
	// Else a missing exchange would be noticed by the first message only.
	check, err := l.bareChannel(ctx)
	if err != nil {
		return err
	}
	return l.guard(ctx, callTime, fmt.Sprintf("look for exchange %q", s.settings.Exchange), func() error {
		if err := check.ExchangeDeclarePassive(s.settings.Exchange, "direct", true, false, false, false, nil); err != nil {
			return err // which has closed the channel
		}
		return check.Close()
	})
}

func (s *sink) Send(ctx context.Context, m connector.Message) error {
	exchange, routingKey, publishing, err := s.settings.sending(m)
	if err != nil {
		return err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sendTime)
		defer cancel()
	}
	p := s.publishers[s.turn.Add(1)%uint64(len(s.publishers))]
	return p.publish(ctx, exchange, routingKey, s.settings.Mandatory, publishing)
}

func (s *sink) Wait(ctx context.Context) error {
	select {
	case <-s.link.lost:
		return s.link.reason()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) Close(ctx context.Context) error {
	if s.link == nil {
		return nil
	}
	l := s.link
	s.link = nil
	return l.close(ctx)
}
