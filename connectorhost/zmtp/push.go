package zmtp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zeromq/zmq4"
)

const (
	// maxBatch bounds how many messages are confirmed by one PONG.
	maxBatch      = 64
	maxBatchBytes = 1 << 20
)

// Send sends a message of one or more frames and returns when its fate is known, or ctx ends. What nil and the errors
// promise is said at the top of the package. The frames must not be changed until Send has returned nil; those of a PUB,
// and of a message that was not confirmed, never.
func (s *Socket) Send(ctx context.Context, message ...[]byte) error {
	var err error
	switch {
	case s.options.Type.receives():
		err = fmt.Errorf("a %s socket sends nothing", s.options.Type)
	case len(message) == 0:
		err = errors.New("a message has at least one frame")
	case len(message) > maxFrames:
		err = fmt.Errorf("%w: %d frames, up to %d are allowed", ErrTooLarge, len(message), maxFrames)
	case size(message) > s.options.MaxMessageBytes:
		err = fmt.Errorf("%w: %d bytes, up to %d are allowed", ErrTooLarge, size(message), s.options.MaxMessageBytes)
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrNotSent, context.Cause(ctx))
	case s.options.Type == Push:
		err = s.handOver(ctx, message)
	default:
		err = s.fanOut(ctx, message)
	}
	switch {
	case err == nil:
		s.counts.sent.Add(1)
		s.counts.sentBytes.Add(size(message))
	case errors.Is(err, ErrUnconfirmed):
		s.counts.unconfirmed.Add(1)
	}
	if err != nil {
		return fmt.Errorf("zeromq %s to %s: %w", s.options.Type, s.options.Addresses[0], err)
	}
	return nil
}

// handOver gives a message to the peer whose turn it is, and to another if that one does not take it.
func (s *Socket) handOver(ctx context.Context, message [][]byte) error {
	for {
		j := &job{message: message, result: make(chan error, 1)}
		if !s.assign(j) {
			select {
			case s.work <- j:
			case <-s.staying.Done():
				return fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
			case <-ctx.Done():
				return fmt.Errorf("%w: %s: %w", ErrNotSent, s.nobodyTook(), context.Cause(ctx))
			}
		}
		if err := j.await(ctx); !errors.Is(err, errNotTaken) {
			return err
		}
	}
}

// assign puts a job into the slot of the peer whose turn it is, passing over those that have work enough.
func (s *Socket) assign(j *job) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := uint64(len(s.order))
	for range n {
		p := s.order[s.turn.Add(1)%n]
		if !p.free.Load() {
			continue
		}
		select {
		case p.slot <- j:
			return true
		default:
		}
	}
	return false
}

// emptySlot gives back what the peer has not begun with.
func (p *peer) emptySlot() {
	select {
	case j := <-p.slot:
		j.finish(errNotTaken)
	default:
	}
}

// nobodyTook says why a message is still here.
func (s *Socket) nobodyTook() string {
	s.mu.RLock()
	n := len(s.peers)
	s.mu.RUnlock()
	if n == 0 {
		return "no peer " + s.absent()
	}
	return fmt.Sprintf("none of %d peers had room", n)
}

// push is the life of a peer of a PUSH: it does what is in its slot, and what waits for whoever is free.
func (p *peer) push() error {
	s := p.socket
	d := &deliveries{changed: make(chan struct{}, 1)}
	defer d.fail()
	s.members.Go(func() { p.drop(p.read(unasked, d.command)) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		free, late, wait := d.look(now, s.options)
		if wait <= 0 {
			return faultf(Silent, "the peer has confirmed nothing for %s", s.options.StuckTimeout)
		}
		if late && now.Sub(d.asked) >= suspectAfter {
			if err := p.write(s.options.StuckTimeout, d.ping); err != nil {
				return err
			}
		}
		p.free.Store(free)
		slot, work := p.slot, s.work
		if !free {
			slot, work = nil, nil
			p.emptySlot()
		}
		timer.Reset(wait)
		select {
		case j := <-slot:
			if err := p.deliver(d, p.more(j)); err != nil {
				return err
			}
		case j := <-work:
			if err := p.deliver(d, p.more(j)); err != nil {
				return err
			}
		case <-d.changed:
		case <-timer.C:
		case <-p.gone:
			return p.cause
		}
	}
}

// more takes what else waits, which something does only if no peer is free.
func (p *peer) more(first *job) []*job {
	jobs, bytes := []*job{first}, size(first.message)
	for len(jobs) < maxBatch && bytes < maxBatchBytes {
		select {
		case j := <-p.slot:
			jobs, bytes = append(jobs, j), bytes+size(j.message)
		case j := <-p.socket.work:
			jobs, bytes = append(jobs, j), bytes+size(j.message)
		default:
			return jobs
		}
	}
	return jobs
}

// deliver writes messages, and a PING behind them if the peer knows what that is.
func (p *peer) deliver(d *deliveries, jobs []*job) error {
	confirmed := p.gate.minor >= 1
	d.add(jobs)
	err := p.write(p.socket.options.StuckTimeout, func(library *zmq4.Conn) error {
		for _, j := range jobs {
			if !j.begin() {
				continue
			}
			if err := library.SendMsg(zmq4.NewMsgFrom(j.message...)); err != nil {
				return err
			}
			j.end = p.gate.written + int64(p.gate.out.Buffered())
		}
		if confirmed {
			return d.ping(library)
		}
		return nil
	})
	switch {
	case err != nil:
		p.takeBack(jobs)
		return err
	case confirmed:
		d.written()
	default:
		d.confirm(d.last)
	}
	return nil
}

// takeBack gives up what the operating system has not taken whole: a peer throws away a part of a message, so that
// another peer can have it.
func (p *peer) takeBack(jobs []*job) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for _, j := range jobs {
		if j.end == 0 || j.end > p.gate.written {
			j.finish(errNotTaken)
		}
	}
}

// unasked is for messages from whom only receives.
func unasked([][]byte) error {
	return faultf(Protocol, "a peer that should only receive sends a message")
}
