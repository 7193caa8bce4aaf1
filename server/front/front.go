// Package front is the server's HTTP side, and the only importer of fasthttp: it turns requests into calls of services
// and whatever comes of them into responses.
//
// One case from start to end: `POST /zato/ping` arrives on a connection of the [Front]. It gets a new correlation ID
// (CID), whatever the client may have sent for one; the [Router] leads its method and path to the service zato.ping;
// the service is called, and its payload goes out with status 200 and the header X-Zato-CID. Had there been no such
// path, were the body too large, the bytes no HTTP at all, or had the service panicked, the client would have got the
// fitting status, the same header and one form of body for all:
//
//	{"zato_env": {"result": "ZATO_ERROR", "cid": "K0…", "details": "the request body is too large"}}
package front

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"zatoha/server/front/proxy"
	"zatoha/server/service"
)

const (
	contentType = "application/json"
	metricsPath = "/metrics"
	readyPath   = "/zato/ready"
	retryAfter  = "1" // seconds

	// answerGrace is for services that were told to give up to say so to their callers.
	answerGrace = 250 * time.Millisecond
)

// cidHeader is set as it is: fasthttp would make it X-Zato-Cid.
var cidHeader = []byte("X-Zato-CID")

// Limits is what a client may ask of the server. All must be positive.
type Limits struct {
	HeaderBytes  int           // request line and headers; more is answered with 431
	BodyBytes    int           // request body; more is answered with 413
	Connections  int           // open at a time; more get 503
	Concurrency  int           // requests to channels that are in hand at a time; more get 503
	ReadTimeout  time.Duration // for a whole request from its first byte; later is answered with 408
	WriteTimeout time.Duration // for a whole response
	IdleTimeout  time.Duration // between requests of one connection
}

// DefaultLimits fit behind HAProxy as the project configures it. In particular the idle timeout is longer than HAProxy
// keeps an unused connection, so that HAProxy never sends a request into one that is just being closed here.
func DefaultLimits() Limits {
	return Limits{
		HeaderBytes:  16 << 10,
		BodyBytes:    10 << 20,
		Connections:  8192,
		Concurrency:  4096,
		ReadTimeout:  30 * time.Second,
		WriteTimeout: 60 * time.Second,
		IdleTimeout:  90 * time.Second,
	}
}

// Front serves HTTP. Make it by [New]; it is safe for concurrent use.
type Front struct {
	router   Router
	limits   Limits
	log      zerolog.Logger
	slog     *slog.Logger
	outgoing service.Outgoings
	tracer   Tracer // nil: none
	requests RequestLog
	invoke   *Invocations
	metrics  *metrics
	scrape   fasthttp.RequestHandler
	server   *fasthttp.Server
	proxy    *proxy.Proxy    // nil if there is no application behind this server
	services context.Context // of every service call
	giveUp   context.CancelFunc
	workers  *workers
	resting  resting
	listened listeners
	inHand   atomic.Int64  // requests that count towards the limit of concurrency
	logged   atomic.Uint64 // requests, for the sample that the log gets

	leaveAfter func(outcome) // leave, in the form that calls take
	readiness
}

// Option is something that not every front has.
type Option func(*Front)

// WithOutgoing gives services their outgoing connections.
func WithOutgoing(outgoing service.Outgoings) Option { return func(f *Front) { f.outgoing = outgoing } }

// Tracer is told of the calls of services.
type Tracer interface {
	// Begin begins a call, and says which place in its trace the service has. The function returned ends it.
	Begin(call service.Call) (own service.Trace, end func(error))
}

// WithTracer tells a tracer of each call by a channel or a connector.
func WithTracer(tracer Tracer) Option { return func(f *Front) { f.tracer = tracer } }

// WithRequestLog logs requests.
func WithRequestLog(requests RequestLog) Option { return func(f *Front) { f.requests = requests } }

// WithInvocations lets connectors call services.
func WithInvocations(invocations *Invocations) Option {
	return func(f *Front) { f.invoke = invocations }
}

// New makes a front that answers what the router knows, GET /zato/ready, and GET /metrics from the registry, to which it
// adds its own metrics. Giving one registry to two fronts panics.
func New(router Router, limits Limits, registry *prometheus.Registry, log zerolog.Logger, options ...Option) *Front {
	f := &Front{
		router: router, limits: limits, log: log, slog: slog.New(zerolog.NewSlogHandler(log)),
		scrape: fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})),
	}
	f.metrics, f.workers = newMetrics(registry, f), newWorkers()
	f.leaveAfter = func(outcome) { f.leave() }
	for _, option := range options {
		option(f)
	}
	if f.invoke != nil {
		f.invoke.attach(f, registry)
	}
	f.services, f.giveUp = context.WithCancel(context.Background())
	f.server = &fasthttp.Server{
		Handler:       f.handle,
		ErrorHandler:  f.refuse,
		ExpectHandler: f.expect,

		ReadBufferSize:     limits.HeaderBytes,
		MaxRequestBodySize: limits.BodyBytes,
		StreamRequestBody:  f.proxy != nil, // what is for services is collected
		ReadTimeout:        limits.ReadTimeout,
		WriteTimeout:       limits.WriteTimeout,
		IdleTimeout:        limits.IdleTimeout,
		// The listener keeps the limit, with an answer in our form; a worker ends a little later than its connection.
		Concurrency: 2 * limits.Connections,

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true, // a payload is a service's to parse
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
		Logger:                       debugLog{log},
		ConnState: func(c net.Conn, state fasthttp.ConnState) {
			if c, ours := c.(*conn); ours && (state == fasthttp.StateIdle || state == fasthttp.StateActive) {
				c.between(state == fasthttp.StateIdle)
			}
		},
	}
	f.resting.resume = f.resume
	return f
}

// Serve answers requests until Shutdown, which may have been before, and then returns nil; otherwise it returns why it
// cannot go on. It closes the listener. Call it once.
func (f *Front) Serve(listener net.Listener) error { return f.serveOn(listener, false) }

// ServeInvocations is Serve for a second listener, which only connectors shall reach: /zato/invoke/ is there and, as soon
// as there is such a listener, nowhere else. Beside it there are the server's own paths, and no channels.
func (f *Front) ServeInvocations(listener net.Listener) error { return f.serveOn(listener, true) }

func (f *Front) serveOn(listener net.Listener, private bool) error {
	limited := newListener(listener, f.limits.Connections, f.overload)
	limited.private, limited.resting = private, &f.resting
	if !f.listened.add(limited) {
		_ = limited.Close() // nobody can have come by it
		return nil
	}
	if err := f.server.Serve(limited); err != nil {
		return fmt.Errorf("accept connections on %s: %w", listener.Addr(), err)
	}
	return nil
}

// resume serves a connection that was at rest.
func (f *Front) resume(c net.Conn) {
	if err := f.server.ServeConn(c); err != nil {
		f.log.Debug().Err(err).Stringer("client", c.RemoteAddr()).Msg("a connection ended")
	}
}

// Shutdown stops accepting, closes connections without a request at once and waits for the other requests to be
// answered. Services that are not done after the time given find their context ended, and requests from then on get 503;
// a moment later Shutdown returns in any case, with an error if it left connections or services behind. Call it once.
func (f *Front) Shutdown(finish time.Duration) error {
	defer time.AfterFunc(finish, func() {
		f.giveUp()
		f.closeProxy()
	}).Stop()
	defer f.closeProxy()
	defer f.giveUp()
	ctx, cancel := context.WithTimeout(context.Background(), finish+answerGrace)
	defer cancel()
	f.resting.stop()
	err := f.server.ShutdownWithContext(ctx)
	f.listened.close()
	f.workers.close()
	if err != nil {
		return fmt.Errorf("finish %d open connections within %v: %w", f.server.GetOpenConnectionsCount(), finish, err)
	}
	ended := make(chan struct{})
	go func() { // ends with the services; who never ends has been told to
		f.workers.live.Wait()
		f.resting.live.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("finish the services that were answered with a time-out within %v: %d have not ended", finish, f.inHand.Load())
	}
}

// Forget drops the metrics of a channel, or of a pattern, or of both; empty stands for none.
func (f *Front) Forget(channel, pattern string) { f.metrics.forget(channel, pattern) }
