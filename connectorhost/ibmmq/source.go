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

// Source consumes from the queue.
func (s *Settings) Source(env connector.Environment) connector.Source {
	return &source{settings: s, env: env}
}

// source consumes: one MQGET at a time, by a session that has nothing in hand.
type source struct {
	settings *Settings
	env      connector.Environment
	link     *sourceLink
	held     bool // the broker was said to give nothing
}

// sourceLink is what one connection of the source has. A delivery keeps the one that it came by.
type sourceLink struct {
	sessions []*session
	idle     chan *session   // those with nothing in hand
	backout  string          // queue for parked messages
	life     context.Context // ends, with the reason, when the connection is of no use any more
	fail     context.CancelCauseFunc
	watching sync.WaitGroup
}

func (s *source) Connect(ctx context.Context) error {
	life, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	s.link = &sourceLink{idle: make(chan *session, s.settings.PoolSize), backout: s.settings.BackoutQueue, life: life, fail: fail}
	for i := range s.settings.PoolSize {
		one, err := connect(ctx, s.settings, s.env)
		if err != nil {
			return err
		}
		s.link.sessions = append(s.link.sessions, one)
		if i == 0 {
			if err := s.inquire(ctx, one); err != nil {
				return err
			}
		}
		if one.output, err = one.open(ctx, s.link.backout, "backout queue", ibmmq.MQOO_OUTPUT); err != nil {
			return err
		}
		if err := one.watch(ctx); err != nil {
			return err
		}
	}
	s.link.watching.Go(s.link.watch)
	return nil
}

// watch asks the queue manager now and then whether it is still there, because IBM's library tells nothing by itself, and
// while all sessions have messages in hand, or none consumes yet, nobody else would notice.
func (l *sourceLink) watch() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.life.Done():
			return
		case <-tick.C:
		}
		if err := l.sessions[i%len(l.sessions)].beat(l.life); err != nil {
			l.fail(err)
			return
		}
	}
}

// Lost is closed when the connection is of no use any more.
func (s *source) Lost() <-chan struct{} { return s.link.life.Done() }

// inquire sees that the queue is there, and finds out its backout queue if the definition names none.
func (s *source) inquire(ctx context.Context, one *session) error {
	queue, err := one.open(ctx, s.settings.Queue, "queue", ibmmq.MQOO_INQUIRE)
	if err != nil {
		return err
	}
	var attributes map[int32]any
	err = one.call(ctx, callTime, fmt.Sprintf("inquire queue %q", s.settings.Queue), func() (err error) {
		if s.settings.BackoutQueue == "" {
			attributes, err = queue.Inq([]int32{ibmmq.MQCA_BACKOUT_REQ_Q_NAME})
		}
		return errors.Join(err, queue.Close(0))
	})
	if err != nil {
		return err
	}
	if name, _ := attributes[ibmmq.MQCA_BACKOUT_REQ_Q_NAME].(string); name != "" {
		s.link.backout = name
	}
	switch s.link.backout {
	case "":
		return fmt.Errorf("%w: there is nowhere to park messages: queue %q has no backout queue: set its BOQNAME, or backout_queue in the definition",
			connector.ErrRefused, s.settings.Queue)
	case s.settings.Queue:
		return fmt.Errorf("%w: queue %q is its own backout queue: a parked message would come again at once: change its BOQNAME, or set backout_queue",
			connector.ErrRefused, s.settings.Queue)
	}
	return nil
}

func (s *source) Start(ctx context.Context) error {
	options := int32(ibmmq.MQOO_INPUT_SHARED)
	if s.settings.Exclusive {
		options = ibmmq.MQOO_INPUT_EXCLUSIVE
	}
	for _, one := range s.link.sessions {
		if one.opened {
			continue
		}
		queue, err := one.open(ctx, s.settings.Queue, "queue", options)
		if err != nil {
			return err
		}
		one.input, one.opened = queue, true
		s.link.idle <- one
	}
	return nil
}

func (s *source) Receive(ctx context.Context) (connector.Delivery, error) {
	var one *session
	select {
	case <-s.link.life.Done():
		return connector.Delivery{}, context.Cause(s.link.life)
	case <-ctx.Done():
		return connector.Delivery{}, ctx.Err()
	case one = <-s.link.idle:
	}
	for {
		if s.link.life.Err() != nil {
			s.link.idle <- one
			return connector.Delivery{}, context.Cause(s.link.life)
		}
		// An MQGET under way cannot be called back; what it gets although ctx has ended meanwhile is delivered.
		md, body, err := one.get(context.WithoutCancel(ctx), s.settings)
		switch {
		case err != nil:
			s.link.idle <- one
			s.hold(err)
			return connector.Delivery{}, err
		case md != nil:
			s.hold(nil)
			return s.deliver(one, md, body), nil
		case ctx.Err() != nil:
			s.link.idle <- one
			return connector.Delivery{}, ctx.Err()
		}
		s.hold(nil)
	}
}

// hold tells when the queue gives nothing for now, and when it does again.
func (s *source) hold(err error) {
	held := errors.Is(err, connector.ErrBackOff)
	if held {
		s.env.Blocked(err.Error())
	} else if s.held {
		s.env.Blocked("")
	}
	s.held = held
}

// deliver makes a delivery of what a session has in hand.
func (s *source) deliver(one *session, md *ibmmq.MQMD, body []byte) connector.Delivery {
	l := s.link
	settle := func(ctx context.Context, verdict connector.Verdict, outcome connector.Outcome) error {
		if l.life.Err() != nil {
			return context.Cause(l.life)
		}
		err := s.settle(ctx, l, one, md, body, verdict, outcome)
		if err != nil && lostBy(err) {
			l.fail(err)
			return err
		}
		l.idle <- one
		return err
	}
	return connector.Delivery{Message: s.settings.received(md, body), Settle: settle}
}

// lostBy says whether an error means that the connection is of no use any more.
func lostBy(err error) bool {
	for _, class := range []error{connector.ErrBackOff, connector.ErrUnfit, connector.ErrRefused, connector.ErrHeld} {
		if errors.Is(err, class) {
			return errors.Is(err, connector.ErrNotConnected)
		}
	}
	return true
}

func (s *source) settle(ctx context.Context, l *sourceLink, one *session, md *ibmmq.MQMD, body []byte, verdict connector.Verdict, outcome connector.Outcome) error {
	switch verdict {
	case connector.Accept:
		return one.commit(ctx)
	case connector.GiveBack:
		return one.backOut(ctx)
	}
	err := one.park(ctx, l.backout, md, body, s.settings.parked(s.env.Name, originOf(md), outcome))
	if err == nil {
		return one.commit(ctx)
	}
	err = fmt.Errorf("park message %s: %w", identifier(md), err)
	if lostBy(err) {
		return err
	}
	if back := one.backOut(ctx); back != nil {
		return errors.Join(err, back)
	}
	return err
}

// Stop has nothing to do: nothing is got ahead, and the exclusive hold is kept until what is in flight is finished.
func (s *source) Stop(context.Context) error { return nil }

func (s *source) Close(ctx context.Context) error {
	if s.link == nil {
		return nil
	}
	l := s.link
	s.link = nil
	l.fail(errHungUp)
	s.hold(nil)
	err := closeAll(ctx, l.sessions)
	l.watching.Wait() // its call has ended with the connection
	return err
}

// closeAll ends sessions, all at the same time.
func closeAll(ctx context.Context, sessions []*session) error {
	var closing sync.WaitGroup
	failures := make([]error, len(sessions))
	for i, one := range sessions {
		closing.Go(func() { failures[i] = one.close(ctx) })
	}
	closing.Wait()
	return errors.Join(failures...)
}
