//go:build ibmmq && cgo

package ibmmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"

	"zatoha/connectorhost/connector"
)

// beatEvery is how often a queue manager is asked whether it is still there, while nothing is sent.
const beatEvery = time.Second

// Sink puts to the queue.
func (s *Settings) Sink(env connector.Environment) connector.Sink {
	return &sink{settings: s, env: env}
}

// sink sends, each message in a unit of work of its own.
type sink struct {
	settings *Settings
	env      connector.Environment
	link     *sinkLink
}

// sinkLink is what one connection of the sink has.
type sinkLink struct {
	sessions []*session
	free     chan *session
	lost     chan error    // the first reason why it is of no use any more
	closed   chan struct{} // by us

	mu      sync.Mutex     // held while closed is closed, and while sending grows
	sending sync.WaitGroup // messages, also of senders that have given up
}

func (s *sink) Connect(ctx context.Context) error {
	l := &sinkLink{free: make(chan *session, s.settings.PoolSize), lost: make(chan error, 1), closed: make(chan struct{})}
	s.link = l
	for range s.settings.PoolSize {
		one, err := connect(ctx, s.settings, s.env)
		if err != nil {
			return err
		}
		l.sessions = append(l.sessions, one)
		if one.output, err = one.open(ctx, s.settings.Queue, "queue", ibmmq.MQOO_OUTPUT); err != nil {
			return err
		}
		if err := one.watch(ctx); err != nil {
			return err
		}
		l.free <- one
	}
	return nil
}

func (s *sink) Send(ctx context.Context, m connector.Message) error {
	out, err := s.settings.sending(m)
	if err != nil {
		return err
	}
	l := s.link
	var one *session
	select {
	case one = <-l.free:
	case <-l.closed:
		return errHungUp
	case <-ctx.Done():
		return fmt.Errorf("%w: no connection is free: %w", connector.ErrBackOff, ctx.Err())
	}
	done := newResult()
	if !l.begin(func() {
		err := l.put(context.WithoutCancel(ctx), one, s.settings.Queue, out)
		l.free <- one
		done <- err
		l.look(err)
	}) {
		return errHungUp
	}
	select {
	case err := <-done:
		return err
	case <-l.closed:
		select {
		case err := <-done: // which may be why
			return err
		default:
			return fmt.Errorf("%w under it: the outcome is unknown", errHungUp)
		}
	case <-ctx.Done():
		return fmt.Errorf("%w: it was not confirmed in time, and may have been sent: %w", connector.ErrBackOff, ctx.Err())
	}
}

// begin begins to send something, unless the connection is closed.
func (l *sinkLink) begin(send func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return false
	default:
		l.sending.Go(send)
		return true
	}
}

// put sends one message. It is sent when MQCMIT has succeeded.
func (l *sinkLink) put(ctx context.Context, one *session, queue string, m *sending) error {
	err := one.put(ctx, queue, m)
	if err == nil {
		err = one.commit(ctx)
	} else if !lostBy(err) {
		err = errors.Join(err, one.backOut(ctx))
	}
	return err
}

// look ends the connection if an error says that it is lost.
func (l *sinkLink) look(err error) {
	if err != nil && lostBy(err) {
		select {
		case l.lost <- err:
		default:
		}
	}
}

// Wait asks the queue manager now and then, because IBM's library tells nothing by itself.
func (s *sink) Wait(ctx context.Context) error {
	l := s.link
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case why := <-l.lost:
			return why
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		select {
		case one := <-l.free:
			l.begin(func() {
				err := one.beat(context.WithoutCancel(ctx))
				l.free <- one
				l.look(err)
			})
		default: // those that send will notice
		}
	}
}

func (s *sink) Close(ctx context.Context) error {
	l := s.link
	l.mu.Lock()
	close(l.closed)
	l.mu.Unlock()
	err := closeAll(ctx, l.sessions)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.sending.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // the library is stuck; its goroutines, and these, are left alone
	}
	return err
}
