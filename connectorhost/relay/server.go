package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLost says that the host's side of the connection is gone.
var ErrLost = errors.New("the connection to the connector host broke")

// Server is the connector's side of a connection.
type Server struct {
	connection net.Conn
	pen        *pen
	answer     func(context.Context, Message) Answer
	lost       func(error)
	once       sync.Once // lost is called

	life    context.Context // of the messages
	end     context.CancelFunc
	closing atomic.Bool
	closed  chan struct{}
	parts   sync.WaitGroup // the reader and the writer
	answers sync.WaitGroup // not added to after the reader has ended
}

// Serve has each message that comes by a connection answered, in a goroutine of its own whose context ends with the
// message's time, until [Server.Close]. It calls lost once, with an [ErrLost], if the connection ends before.
func Serve(connection net.Conn, answer func(context.Context, Message) Answer, lost func(error)) *Server {
	s := &Server{connection: connection, pen: newPen(connection), answer: answer, lost: lost, closed: make(chan struct{})}
	s.life, s.end = context.WithCancel(context.Background())
	s.parts.Go(func() { s.broke(s.read()) })
	s.parts.Go(func() { s.broke(s.pen.run(s.closed)) })
	return s
}

func (s *Server) read() error {
	from := bufio.NewReaderSize(s.connection, believed)
	for {
		number, content, err := readFrame(from, messageFrame, longestMessage)
		if err != nil {
			return err
		}
		m, err := parseMessage(content)
		if err != nil {
			return err
		}
		s.answers.Go(func() { s.handle(number, m) })
	}
}

func (s *Server) handle(number uint64, m Message) {
	ctx, cancel := context.WithTimeout(s.life, m.Within)
	defer cancel()
	a := s.answer(ctx, m)
	s.pen.put(func(to []byte) []byte { return appendAnswer(to, number, a) }) // or nobody reads it
}

func (s *Server) broke(err error) {
	if err == nil || s.closing.Load() {
		return
	}
	s.once.Do(func() {
		s.end()
		s.lost(fmt.Errorf("%w: %w", ErrLost, err))
	})
}

// Close takes no more messages, waits until those in hand are answered and the answers written, but no longer than within,
// and closes the connection.
func (s *Server) Close(within time.Duration) {
	s.closing.Store(true)
	_ = s.connection.SetReadDeadline(time.Unix(1, 0))
	late := time.NewTimer(within)
	defer late.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.answers.Wait()
		<-s.pen.written()
	}()
	select {
	case <-done:
	case <-late.C:
	}
	s.end()
	close(s.closed)
	_ = s.connection.Close()
	s.parts.Wait()
}
