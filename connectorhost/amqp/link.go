package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/gather"
)

// Bounds of calls into the library.
const (
	dialTime  = 10 * time.Second
	callTime  = 10 * time.Second // of a question that the broker answers
	writeTime = 10 * time.Second // until the broker has read what is written
	byeTime   = 2 * time.Second
	graceTime = time.Second // for a call to come back when its socket has been closed
)

// link is one connection to the broker. It is safe for concurrent use.
type link struct {
	connection *amqp091.Connection
	env        connector.Environment

	lost     chan struct{} // closed when the connection is of no use any more
	mu       sync.Mutex
	why      error // set before lost is closed
	socket   net.Conn
	broken   bool           // the socket was closed by us
	watchers sync.WaitGroup // they end when the connection has ended
}

// dial makes a connection.
func dial(ctx context.Context, s *Settings, env connector.Environment) (*link, error) {
	address, err := s.URL.RevealURL()
	if err != nil {
		return nil, fmt.Errorf("url: %w: %w", connector.ErrRefused, err)
	}
	if _, err := amqp091.ParseURI(address); err != nil { // its error may show the password
		return nil, fmt.Errorf("url: %w: with its secrets it is no address: use amqp://USER:PASSWORD@HOST:PORT/VHOST", connector.ErrRefused)
	}
	if name := foreign(address); name != "" {
		return nil, fmt.Errorf("url: %w: with its secrets it has the parameter %s: %s", connector.ErrRefused, name, instead)
	}
	l := &link{env: env, lost: make(chan struct{})}
	host, _ := os.Hostname()
	config := amqp091.Config{
		Heartbeat:  s.Heartbeat,
		Dial:       func(network, address string) (net.Conn, error) { return l.dialSocket(ctx, network, address) },
		Properties: amqp091.Table{"product": "zatoha", "connection_name": fmt.Sprintf("zatoha %s @ %s (%d)", env.Name, host, os.Getpid())},
	}
	err = l.guard(ctx, dialTime, "dial", func() error {
		connection, err := amqp091.DialConfig(address, config)
		l.connection = connection
		return err
	})
	if err != nil {
		l.breakSocket()
		return nil, classify(err)
	}
	l.watch()
	return l, nil
}

func (l *link) dialSocket(ctx context.Context, network, address string) (net.Conn, error) {
	deadline := time.Now().Add(dialTime)
	socket, err := (&net.Dialer{Deadline: deadline}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := socket.SetDeadline(deadline); err != nil { // taken back by the library after the handshake
		socket.Close()
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.socket = socket
	if l.broken {
		_ = socket.Close()
	}
	return gather.Wrap(socket, gather.New(socket, writeTime), func(err error) {
		if errors.Is(err, gather.ErrUnread) {
			err = errors.New("the broker reads nothing")
		}
		l.fail(fmt.Errorf("%w: %w", connector.ErrNotConnected, err))
	}), nil
}

// breakSocket ends the connection, whatever the library is doing: all its calls come back.
func (l *link) breakSocket() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	if l.socket != nil {
		_ = l.socket.Close()
	}
}

// guard calls into the library. A call that takes too long, or longer than ctx lives, is ended by closing the socket; one
// that does not end even then is left alone.
func (l *link) guard(ctx context.Context, bound time.Duration, what string, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return told(what, err)
	case <-ctx.Done():
	}
	l.fail(fmt.Errorf("%s: %w: no answer from the broker: %w", what, connector.ErrNotConnected, ctx.Err()))
	l.breakSocket()
	late := time.NewTimer(graceTime)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
	return fmt.Errorf("%s: %w: no answer from the broker: %w", what, connector.ErrNotConnected, ctx.Err())
}

// told is the error of a call into the library. A method without an answer needs no guard: its bytes are only left to the
// socket's writer, which ends the connection when the broker reads nothing.
func told(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, classify(err))
	}
	return nil
}

// fail says that the connection is of no use any more. Only the first reason counts.
func (l *link) fail(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.lost)
	}
}

// reason is why the connection was lost. Ask it only when lost is closed.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

var errHungUp = fmt.Errorf("%w: the connection was closed", connector.ErrNotConnected)

// watch drains the notifications of the connection.
func (l *link) watch() {
	closes := l.connection.NotifyClose(make(chan *amqp091.Error, 1))
	blocks := l.connection.NotifyBlocked(make(chan amqp091.Blocking, 1))
	l.watchers.Go(func() {
		for blocking := range blocks {
			reason := ""
			if blocking.Active {
				reason = "broker blocks publishers: " + blocking.Reason
			}
			l.env.Blocked(reason)
		}
	})
	l.watchers.Go(func() { l.watchClose(closes) })
}

// watchClose ends the link for the reason that comes.
func (l *link) watchClose(closes <-chan *amqp091.Error) {
	why := errHungUp
	for exception := range closes {
		why = classify(exception)
	}
	l.fail(why)
}

// channel opens an AMQP channel. An exception of it ends the link: what the channel was doing has to be begun anew
// anyway.
func (l *link) channel(ctx context.Context) (*amqp091.Channel, error) {
	channel, err := l.bareChannel(ctx)
	if err != nil {
		return nil, err
	}
	l.watchChannel(channel)
	return channel, nil
}

// bareChannel opens an AMQP channel whose exceptions are the caller's business.
func (l *link) bareChannel(ctx context.Context) (channel *amqp091.Channel, err error) {
	var opened *amqp091.Channel
	err = l.guard(ctx, callTime, "open an AMQP channel", func() (err error) {
		opened, err = l.connection.Channel()
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// look asks something on a channel of its own, which the broker closes if the answer is no.
func (l *link) look(ctx context.Context, what string, ask func(*amqp091.Channel) error) error {
	channel, err := l.bareChannel(ctx)
	if err != nil {
		return err
	}
	return l.guard(ctx, callTime, what, func() error {
		if err := ask(channel); err != nil {
			return err
		}
		return channel.Close()
	})
}

// watchChannel drains the notifications of a channel.
func (l *link) watchChannel(channel *amqp091.Channel) {
	closes := channel.NotifyClose(make(chan *amqp091.Error, 1))
	flows := channel.NotifyFlow(make(chan bool, 1))
	l.watchers.Go(func() {
		for active := range flows {
			reason := ""
			if !active {
				reason = "broker stopped the flow"
			}
			l.env.Blocked(reason)
		}
	})
	l.watchers.Go(func() { l.watchClose(closes) })
}

// close ends the connection, in good order if the broker plays along.
func (l *link) close(ctx context.Context) error {
	err := l.guard(ctx, byeTime, "close the connection", func() error {
		err := l.connection.CloseDeadline(time.Now().Add(byeTime))
		if errors.Is(err, amqp091.ErrClosed) {
			return nil
		}
		return err
	})
	l.fail(errHungUp)
	l.breakSocket()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.watchers.Wait()
	}()
	late := time.NewTimer(graceTime)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C: // the library is stuck; its goroutines, and these, are left alone
	}
	return err
}
