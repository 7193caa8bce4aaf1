// Package outgoing is how the services of a server send messages to the world outside: by ZeroMQ from here, by AMQP and
// IBM MQ through the connector host that is active.
//
// One case. A service calls ctx.Outgoing("amqp", "orders").Send(ctx, service.Message{Payload: order}). The set of
// connections, which the server has made with [New], makes up a message ID and posts the order to the active host,
//
//	POST http://10.0.0.7:17111/outgoing/orders      Content-Type: application/octet-stream
//	X-Zato-Message-ID: zatoha-5e1f…                 X-Zato-Connector-Kind: amqp
//
// which it knows from Consul: the instance of zato-connectorhost with the tag active. At this moment the host is killed.
// The connection breaks, so nobody knows whether the broker has the order. A second later Consul names another host, and
// the order is posted again, to that one, with the same message ID, by which it knows a repetition. The host answers 200
// when the broker has confirmed, and Send returns nil.
//
// What else may come of it:
//
//	200                      the broker has it: nil
//	401, 409, 421, 429, 502, not now, or not there: again, soon or as soon as another host is active, until the context
//	503, 504, no answer      ends. Then the error is of kind Unavailable, has the last reason, and says whether the
//	                         message may have been sent all the same
//	404                      the host has no such connection: Unavailable, at once
//	413                      TooLarge, at once
//	400, 415, 422            the message can never be sent: BadRequest, at once
//	anything else            Internal, at once
//
// A call for "zmq" is answered by a socket in this process, which [Set.Define] has opened: see package zmtp for what its
// sends promise. What was not sent is of kind Unavailable; so is what was sent and not confirmed, and the text says
// which. A ZeroMQ message has one frame, the payload; the header "key" puts one before it, by which subscribers choose.
package outgoing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmq"
	"zatoha/server/service"
)

// Config says how to send. Everything has a default.
type Config struct {
	// Token is asked for the token shared with connector hosts at each message; nil or an empty text: none is sent.
	Token func() string
	// Timeout bounds a send whose context has no deadline.
	Timeout time.Duration
	// Registry takes the metrics; nil: nobody looks.
	Registry *prometheus.Registry
	// Log is told of hosts and connections that come and go; nil: nothing is logged.
	Log *slog.Logger
}

// defaultTimeout is for sends whose context has no deadline.
const defaultTimeout = 30 * time.Second

// Set is all outgoing connections of a server. It is safe for concurrent use.
type Set struct {
	config    Config
	log       *slog.Logger
	metrics   *metrics
	hosts     *hosts
	transport *http.Transport
	client    *http.Client

	mu      sync.RWMutex
	sockets map[string]*socket // by name
	refused map[string]string  // definitions, by name: why
	closed  bool
	closing sync.WaitGroup // sockets that were replaced
}

var _ service.Outgoings = (*Set)(nil)

// New makes a set without ZeroMQ connections, which [Set.Define] brings, and without a connector host, which
// [Set.Follow] finds.
func New(config Config) *Set {
	config.Timeout = cmp.Or(config.Timeout, defaultTimeout)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{
		config: config, log: config.Log, hosts: newHosts(config.Log), transport: newTransport(), sockets: map[string]*socket{},
	}
	s.metrics = newMetrics(config.Registry, s)
	s.client = &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Outgoing finds a connection. The kinds amqp and ibmmq always have one: whether the host knows the name is seen when
// something is sent.
func (s *Set) Outgoing(kind, name string) service.Outgoing {
	switch kind {
	case zmq.Kind:
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.sockets[name] == nil {
			return nil
		}
		return measured{s, kind, name, s.sendZMQ}
	case "amqp", "ibmmq":
		return measured{s, kind, name, s.post}
	}
	return nil
}

// measured is a connection whose sends are bounded and counted.
type measured struct {
	set        *Set
	kind, name string
	send       func(ctx context.Context, kind, name string, message service.Message) error
}

// Send implements service.Outgoing.
func (m measured) Send(ctx context.Context, message service.Message) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.set.config.Timeout, fmt.Errorf("it took %s", m.set.config.Timeout))
		defer cancel()
	}
	if message.ID == "" {
		message.ID = connector.RandomID()
	}
	defer m.set.metrics.begin(m.kind)()
	since := time.Now()
	err := m.send(ctx, m.kind, m.name, message)
	m.set.metrics.sent(m.kind, m.name, err, time.Since(since))
	return err
}

// failed makes the error of a connection. The details are for the caller of the service.
func failed(kind service.Kind, of, name, problem string, cause error) error {
	return service.NewError(kind, fmt.Sprintf("outgoing %s connection %q: %s", of, name, problem), cause)
}

// Close closes all connections, and gives sends that are under way, and what publishers have queued, until ctx ends.
func (s *Set) Close(ctx context.Context) error {
	s.mu.Lock()
	sockets := s.sockets
	s.sockets, s.closed = map[string]*socket{}, true
	s.mu.Unlock()
	for _, socket := range sockets {
		s.closing.Go(func() { socket.close(ctx) })
	}
	s.closing.Wait()
	s.hosts.close()
	s.transport.CloseIdleConnections()
	return context.Cause(ctx)
}
