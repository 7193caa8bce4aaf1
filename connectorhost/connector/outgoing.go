package connector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Sender is a running outgoing connector.
type Sender struct {
	definition *Definition
	options    Options
	log        *slog.Logger
	sink       Sink
	status     *tracker
	slots      chan struct{} // one for each message on its way

	mu      sync.Mutex
	refusal error          // why nothing can be sent now; nil if it can
	blocked string         // why the broker takes nothing now
	sending sync.WaitGroup // not added to while refusal is set
}

// NewSender prepares an outgoing connector; [Sender.Run] runs it.
func NewSender(d *Definition, options Options) (*Sender, error) {
	if d.Settings == nil || d.Role != Outgoing {
		return nil, fmt.Errorf("connector %q: %w: it is not outgoing", d.Name, ErrDefinition)
	}
	options = options.withDefaults()
	s := &Sender{
		definition: d, options: options, log: options.Log, status: newTracker(d, options.Report),
		slots: make(chan struct{}, max(d.Settings.InFlight(), 1)), refusal: fmt.Errorf("%w yet", ErrNotConnected),
	}
	s.sink = d.Settings.Sink(Environment{Name: d.Name, Blocked: s.setBlocked})
	return s, nil
}

func (s *Sender) setBlocked(reason string) {
	s.mu.Lock()
	s.blocked = reason
	s.mu.Unlock()
	s.status.blocked(reason)
}

// Run keeps the connector connected until ctx ends, which is a clean stop and no error: new messages are refused, those
// on their way are confirmed, within the time to drain. It ends earlier, with an [ErrDefinition], if the connector cannot
// work. It is called once.
func (s *Sender) Run(ctx context.Context) error {
	defer s.status.ending()()
	err := reconnecting(ctx, s.status, s.log, s.serve)
	s.refuse(fmt.Errorf("%w: the connector is stopped", ErrNotConnected))
	return s.status.end(s.definition.Name, err)
}

func (s *Sender) refuse(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = why
}

func (s *Sender) serve(ctx context.Context) (worked bool, err error) {
	defer func() {
		s.refuse(fmt.Errorf("%w: %v", ErrNotConnected, err)) // what it wraps is not the business of who sends
		if ctx.Err() != nil {
			s.finish()
		}
		if err := bounded(context.WithoutCancel(ctx), closeTime, s.sink.Close); err != nil {
			s.log.Info("the connection was not closed in good order", "error", err)
		}
		s.sending.Wait()
		s.setBlocked("")
	}()
	if err := bounded(ctx, connectTime, s.sink.Connect); err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	s.status.counts.connects.Add(1)
	since := time.Now()
	s.refuse(nil)
	s.status.enter(Running, "")
	err = s.sink.Wait(ctx)
	return time.Since(since) > goodFor, err
}

// finish waits for the messages on their way, as long as a stopped connector may take.
func (s *Sender) finish() {
	s.status.enter(Draining, "")
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.sending.Wait()
	}()
	late := time.NewTimer(s.options.Drain)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
}

// Send sends one message and returns nil when the broker has confirmed it. It is safe for concurrent use, also before and
// after Run. The error is an [ErrUnfit] if this message can never be sent, else the sender may try again, with the same
// ID: [ErrBackOff] and [ErrNotConnected] say why not now, and an [ErrNotSent] that nothing has left. Without an ID the
// message gets a random one.
func (s *Sender) Send(ctx context.Context, message Message) error {
	if err := s.take(ctx); err != nil {
		s.status.counts.sendFailures.Add(1)
		return fmt.Errorf("send by connector %q: %w: %w", s.definition.Name, ErrNotSent, err)
	}
	defer s.give()
	if message.ID == "" {
		message.ID = RandomID()
	}
	if message.ContentType == "" {
		message.ContentType = s.definition.MediaType()
	}
	if err := s.sink.Send(ctx, message); err != nil {
		s.status.counts.sendFailures.Add(1)
		return fmt.Errorf("send message %s by connector %q: %w", message.ID, s.definition.Name, err)
	}
	s.status.counts.sent.Add(1)
	s.status.lastMessage.Store(time.Now().UnixNano())
	return nil
}

// take waits for a slot, if there is a connection and the broker takes messages.
func (s *Sender) take(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: too many messages on their way: %w", ErrBackOff, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	refusal := s.refusal
	if refusal == nil && s.blocked != "" {
		refusal = fmt.Errorf("%w: the broker takes nothing: %s", ErrBackOff, s.blocked)
	}
	if refusal != nil {
		<-s.slots
		return refusal
	}
	s.sending.Add(1)
	s.status.inFlight.Add(1)
	return nil
}

func (s *Sender) give() {
	s.status.inFlight.Add(-1)
	s.sending.Done()
	<-s.slots
}
