package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/supervise"
)

// A host and its child speak HTTP/2 over the link that they have from the child's start: each message is a request, as
// the host has got it, and the answer is what became of it.

const (
	maxSends   = 4096 // at a time, by one link; the host lets in fewer
	answerTime = time.Second
)

func onlyHTTP2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// errLinkLost ends a child: without the link it is of no use.
var errLinkLost = errors.New("the connection to the connector host broke")

// serveSends sends what comes by the link, while run runs. It returns what run does.
func serveSends(ctx context.Context, job *supervise.Job, sender *connector.Sender) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	states := make(chan http.ConnState, 1) // the latest one
	server := &http.Server{
		Handler: sends{job, sender}, Protocols: onlyHTTP2(), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxSends},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				stop(errLinkLost)
			}
			select {
			case <-states:
			default:
			}
			states <- state
		},
	}
	listener := &oneConnection{conn: job.Link, closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err := sender.Run(ctx)
	if err == nil && errors.Is(context.Cause(ctx), errLinkLost) {
		err = errLinkLost
	}
	answered(states)
	_ = server.Close()
	<-served
	return err
}

// answered waits, but not for long, until the last answers are written. Shutdown would always wait for a second.
func answered(states <-chan http.ConnState) {
	late := time.NewTimer(answerTime)
	defer late.Stop()
	for {
		select {
		case state := <-states:
			if state != http.StateActive {
				return
			}
		case <-late.C:
			return
		}
	}
}

// oneConnection is a listener that has one connection to give.
type oneConnection struct {
	mu     sync.Mutex
	conn   net.Conn // nil when it is given
	once   sync.Once
	closed chan struct{}
}

func (o *oneConnection) Accept() (net.Conn, error) {
	o.mu.Lock()
	conn := o.conn
	o.conn = nil
	o.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

func (o *oneConnection) Close() error {
	o.once.Do(func() { close(o.closed) })
	return nil
}

func (o *oneConnection) Addr() net.Addr { return &net.UnixAddr{Name: "link", Net: "unix"} }

// sends is the child's side of a message.
type sends struct {
	job    *supervise.Job
	sender *connector.Sender
}

func (s sends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the host has given up
	}
	message := connector.Message{ID: r.Header.Get(headerMessageID), Body: body, ContentType: r.Header.Get("Content-Type")}
	if text := r.Header.Get(headerProperties); text != "" {
		if err := json.Unmarshal([]byte(text), &message.Properties); err != nil {
			reply{status: http.StatusBadRequest, notSent: true, details: headerProperties + ": " + err.Error()}.write(w)
			return
		}
	}
	if !s.job.Valid() {
		refused("the lease of this host has ended").write(w)
		return
	}
	replyTo(s.sender.Send(r.Context(), message)).write(w)
}

// link is the host's side of the link to one child.
type link struct {
	open func() (*http.ClientConn, error) // the first call opens, for a channel never asks
}

func newLink(connection net.Conn) *link {
	transport := &http.Transport{
		Protocols:   onlyHTTP2(),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return connection, nil },
	}
	return &link{sync.OnceValues(func() (*http.ClientConn, error) {
		return transport.NewClientConn(context.Background(), "http", "connector:80")
	})}
}

// send hands a message to the child, and returns what became of it.
func (l *link) send(ctx context.Context, header http.Header, body []byte) reply {
	conn, err := l.open()
	if err != nil {
		return refused("no connection to the connector's process: " + err.Error())
	}
	if err := conn.Err(); err != nil {
		return refused("the connector's process has just ended: " + err.Error())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://connector/", bytes.NewReader(body))
	if err != nil {
		return refused(err.Error())
	}
	request.Header = header
	response, err := conn.RoundTrip(request)
	if err != nil {
		return unanswered(ctx, err)
	}
	defer response.Body.Close()
	var said struct {
		Env struct {
			Details string `json:"details"`
		} `json:"zato_env"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxRequest<<4)).Decode(&said); err != nil && response.StatusCode != http.StatusOK {
		return unanswered(ctx, err)
	}
	return reply{response.StatusCode, response.Header.Get(headerOutcome) == outcomeNotSent, said.Env.Details}
}

// unanswered is the reply when nobody knows whether the broker has the message.
func unanswered(ctx context.Context, err error) reply {
	status, why := http.StatusServiceUnavailable, fmt.Sprintf("the connector's process did not answer: %v", err)
	if ctx.Err() != nil {
		status, why = http.StatusGatewayTimeout, "the broker did not confirm it in time"
	}
	return reply{status: status, details: why + "; it may have the message"}
}
