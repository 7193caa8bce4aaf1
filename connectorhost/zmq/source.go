package zmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmtp"
)

// meetTime is how long a channel that connects waits for its first peer before it counts as not connected; and, when it
// has lost its last, for one that comes while it closes.
const meetTime = time.Second

// source is a channel's socket. A socket begins to take messages when it is opened, so it is opened by Start.
type source struct {
	settings Settings
	socket   *zmtp.Socket
	messages chan [][]byte      // closed when the socket has no more
	lost     chan string        // has the reason when a channel that connects has no peer left
	unfit    chan string        // has the reason when a peer was cut off for its size
	why      string             // of the loss
	end      context.CancelFunc // of forward
	ended    chan struct{}      // closed when forward has ended
}

// Connect takes nothing yet, and holds no address that another process may still have.
func (s *source) Connect(context.Context) error { return nil }

// Start opens the socket and, if it is the one that connects, waits until it is.
func (s *source) Start(ctx context.Context) error {
	s.lost, s.unfit, s.why = make(chan string, 1), make(chan string, 1), ""
	var opened atomic.Pointer[zmtp.Socket]
	options := s.settings.Options()
	options.Notify = func(e zmtp.Event) { s.notice(opened.Load(), e) }
	socket, err := zmtp.Open(options)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: %w", connector.ErrHeld, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: %w", connector.ErrRefused, err)
	case err != nil:
		return fmt.Errorf("%w: %w", connector.ErrNotConnected, err)
	}
	opened.Store(socket)
	s.socket, s.messages, s.ended = socket, make(chan [][]byte), make(chan struct{})
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	go s.forward(life)
	if s.settings.SocketMethod == zmtp.Bind {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	if err := socket.AwaitPeer(ctx); err != nil {
		return fmt.Errorf("%w: %w", connector.ErrNotConnected, err)
	}
	return nil
}

// notice is told what happens to peers.
func (s *source) notice(socket *zmtp.Socket, e zmtp.Event) {
	if e.Err == nil {
		return
	}
	if e.Cause == zmtp.Oversized {
		keep(s.unfit, fmt.Sprintf("%s was cut off: %v", e.Peer, e.Err))
	}
	if s.settings.SocketMethod == zmtp.Connect && socket != nil && socket.Stats().Peers == 0 && socket.Stats().Connected > 0 {
		keep(s.lost, fmt.Sprintf("%s: %v", e.Peer, e.Err))
	}
}

// keep keeps the first of what was not taken.
func keep(in chan string, text string) {
	select {
	case in <- text:
	default:
	}
}

// forward brings messages to where Receive can wait for them beside other things.
func (s *source) forward(ctx context.Context) {
	defer close(s.ended)
	defer close(s.messages)
	for {
		message, err := s.socket.Receive(ctx)
		if err != nil {
			return
		}
		select {
		case s.messages <- message:
		case <-ctx.Done():
			return
		}
	}
}

// Receive waits for a message. What had come before a loss comes before the error.
func (s *source) Receive(ctx context.Context) (connector.Delivery, error) {
	if s.socket == nil {
		return connector.Delivery{}, fmt.Errorf("%w: the socket is not open", connector.ErrNotConnected)
	}
	for {
		select {
		case message, more := <-s.messages:
			if more {
				return delivery(message), nil
			}
			select {
			case reason := <-s.unfit:
				return unfit(reason), nil
			default:
				return connector.Delivery{}, fmt.Errorf("%w: %s", connector.ErrNotConnected, s.why)
			}
		case reason := <-s.unfit:
			return unfit(reason), nil
		case why := <-s.lost:
			if s.socket.Stats().Peers > 0 {
				continue // the socket has connected anew meanwhile
			}
			// Nobody is there: nothing is on the way, and what was taken can still be received.
			s.why = why
			ending, cancel := context.WithTimeout(ctx, meetTime)
			_ = s.socket.Close(ending)
			cancel()
		case <-ctx.Done():
			return connector.Delivery{}, context.Cause(ctx)
		}
	}
}

// Stop lets peers finish what is on the way.
func (s *source) Stop(ctx context.Context) error {
	if s.socket == nil {
		return nil
	}
	s.why = "the channel was stopped"
	return s.socket.Close(ctx)
}

// Close drops what is left.
func (s *source) Close(context.Context) error {
	if s.socket == nil {
		return nil
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.socket.Close(now)
	s.end()
	<-s.ended
	s.socket = nil
	return nil
}

// unfit is a message that was not let in.
func unfit(reason string) connector.Delivery {
	d := delivery(nil)
	d.Unfit = reason
	return d
}

// delivery makes one of a message. ZeroMQ has no names and takes nothing back.
func delivery(message [][]byte) connector.Delivery {
	d := connector.Delivery{
		Message: connector.Message{ID: connector.RandomID(), Attempt: 1},
		Settle:  func(context.Context, connector.Verdict, connector.Outcome) error { return nil },
	}
	if len(message) == 1 {
		d.Body = message[0]
		return d
	}
	sizes := make([]string, len(message))
	for i, frame := range message {
		sizes[i] = strconv.Itoa(len(frame))
		d.Body = append(d.Body, frame...)
	}
	if len(message) > 0 {
		d.Properties = map[string]string{"part_sizes": strings.Join(sizes, ",")}
	}
	return d
}
