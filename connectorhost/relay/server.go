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

	"zatoha/connectorhost/gather"
)

// ErrLost says that the host's side of the connection is gone.
var ErrLost = errors.New("the connection to the connector host broke")

// Server is the connector's side of a connection.
type Server struct {
	connection net.Conn
	writer     *gather.Writer
	answer     func(context.Context, Message) Answer
	lost       func(error)
	once       sync.Once // lost is called

	life    context.Context // of the messages
	end     context.CancelFunc
	closing atomic.Bool
	closed  chan struct{}
	parts   sync.WaitGroup // the reader and the writer
	answers sync.WaitGroup // messages in hand; not added to after the reader has ended

	tasks chan task
	idle  atomic.Int64 // goroutines that wait for a task, or are about to
}

// task is a message and its number.
type task struct {
	number  uint64
	message Message
}

// mostIdle goroutines are kept: a new one first has to grow its stack.
const mostIdle = 64

// Serve has each message that comes by a connection answered, in a goroutine of its own whose context ends with the
// message's time, until [Server.Close]. It calls lost once, with an [ErrLost], if the connection ends before.
func Serve(connection net.Conn, answer func(context.Context, Message) Answer, lost func(error)) *Server {
	s := &Server{connection: connection, writer: gather.New(connection, readTime), answer: answer, lost: lost, closed: make(chan struct{}), tasks: make(chan task)}
	s.life, s.end = context.WithCancel(context.Background())
	s.parts.Go(func() { s.broke(s.read()) })
	s.parts.Go(func() { s.broke(s.writer.Run(s.closed)) })
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
		s.answers.Add(1)
		select {
		case s.tasks <- task{number, m}:
		default: // nobody is idle
			go s.work(task{number, m})
		}
	}
}

// work handles tasks, the first and those that come later, until the connection is closed.
func (s *Server) work(t task) {
	for {
		s.handle(t)
		if s.idle.Add(1) > mostIdle {
			s.idle.Add(-1)
			return
		}
		select {
		case t = <-s.tasks:
			s.idle.Add(-1)
		case <-s.closed:
			return
		}
	}
}

func (s *Server) handle(t task) {
	defer s.answers.Done()
	ctx, cancel := context.WithTimeout(s.life, t.message.Within)
	defer cancel()
	a := s.answer(ctx, t.message)
	s.writer.Put(func(to []byte) []byte { return appendAnswer(to, t.number, a) }) // or nobody reads it
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

// Close takes no more messages, waits until those in hand are answered and the answers written, but no longer than
// within, and closes the connection.
func (s *Server) Close(within time.Duration) {
	s.closing.Store(true)
	_ = s.connection.SetReadDeadline(time.Unix(1, 0))
	late := time.NewTimer(within)
	defer late.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.answers.Wait()
		<-s.writer.Written()
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
