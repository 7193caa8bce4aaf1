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
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"

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

// Front serves HTTP. Make it by [New]; its methods may be called concurrently.
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
	inHand   atomic.Int64  // requests that count towards the limit of concurrency
	logged   atomic.Uint64 // requests, for the sample that the log gets

	leaveAfter func(outcome) // leave, in the form that calls take
	readiness
}

// RequestLog is what the log tells of requests.
type RequestLog struct {
	Every int           // one of so many requests; 0: none
	Slow  time.Duration // and every one that took longer; 0: none of them
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

// Serve answers requests until Shutdown, then returns nil; otherwise it returns why it cannot go on. It closes the
// listener. Call it once.
func (f *Front) Serve(listener net.Listener) error { return f.serveOn(listener, false) }

// ServeInvocations is Serve for a second listener, which only connectors shall reach: /zato/invoke/ is there and, as soon
// as there is such a listener, nowhere else. Beside it there are the server's own paths, and no channels.
func (f *Front) ServeInvocations(listener net.Listener) error { return f.serveOn(listener, true) }

func (f *Front) serveOn(listener net.Listener, private bool) error {
	limited := newListener(listener, f.limits.Connections, f.overload)
	limited.private, limited.resting = private, &f.resting
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

// handle answers one request that fasthttp could parse.
func (f *Front) handle(ctx *fasthttp.RequestCtx) {
	f.metrics.inFlight.Inc()
	cid := service.NewCID()
	class, route := f.dispatch(ctx, cid)
	f.metrics.inFlight.Dec()
	took := time.Since(ctx.Time())
	f.metrics.observe(class, route, ctx.Response.StatusCode(), took)
	f.logRequest(ctx, cid, class, took)
}

// dispatch answers the request. It returns the class of the path for the metrics, and the route if it has one.
func (f *Front) dispatch(ctx *fasthttp.RequestCtx, cid string) (class string, route *Route) {
	class = unknownPath
	defer func() {
		if reason := recover(); reason != nil {
			f.log.Error().Str("cid", cid).Str("route", class).Any("panic", reason).Bytes("stack", debug.Stack()).
				Msg("a handler panicked")
			ctx.Response.Reset()
			kind, details := service.Classify(errPanic)
			fail(ctx, statusOf(kind), cid, details)
		}
	}()
	if ambiguous(&ctx.Request.Header) {
		ctx.SetConnectionClose()
		fail(ctx, fasthttp.StatusBadRequest, cid, "this is no valid HTTP request")
		return class, nil
	}
	if f.services.Err() != nil {
		ctx.SetConnectionClose()
		fail(ctx, fasthttp.StatusServiceUnavailable, cid, "the server is stopping")
		return class, nil
	}
	path := ctx.Path()
	switch {
	case string(path) == metricsPath:
		return f.answerMetrics(ctx, cid)
	case string(path) == readyPath:
		return f.answerReady(ctx, cid)
	case f.invoke.at(path, f.isPrivate(ctx)):
		return f.invoke.answer(ctx, cid)
	}
	match := f.router.Route(methodName(ctx.Method()), unsafe.String(unsafe.SliceData(path), len(path)))
	switch {
	case match.Route != nil && (match.Route.Channel == "" || !f.isPrivate(ctx)):
		class, route = match.Route.Pattern, match.Route
		f.serve(ctx, match, cid)
	case match.Allow != "" && !f.isPrivate(ctx):
		answerOther(ctx, cid, match.Allow)
	case f.proxy != nil && !f.isPrivate(ctx):
		class = proxied
		f.pass(ctx, cid)
	default:
		fail(ctx, fasthttp.StatusNotFound, cid, "nothing is at this path")
	}
	return class, route
}

// answerOther answers a method that a path does not take: OPTIONS, which asks for just that, or another.
func answerOther(ctx *fasthttp.RequestCtx, cid, methods string) {
	ctx.Response.Header.Set(fasthttp.HeaderAllow, allowHeader(methods))
	if ctx.IsOptions() {
		ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
		setCID(ctx, cid)
		return
	}
	fail(ctx, fasthttp.StatusMethodNotAllowed, cid, "this path takes "+methods)
}

// answerMetrics and answerReady are the routes that only the front itself can answer.
func (f *Front) answerMetrics(ctx *fasthttp.RequestCtx, cid string) (class string, route *Route) {
	if !ctx.IsGet() && !ctx.IsHead() {
		answerOther(ctx, cid, fasthttp.MethodGet)
		return metricsPath, nil
	}
	f.scrape(ctx)
	setCID(ctx, cid)
	return metricsPath, nil
}

// isPrivate says whether the request came in by the listener that is for connectors only.
func (f *Front) isPrivate(ctx *fasthttp.RequestCtx) bool {
	c, ours := ctx.Conn().(*conn)
	return ours && c.listener.private
}

func (f *Front) logRequest(ctx *fasthttp.RequestCtx, cid, class string, took time.Duration) {
	slow := f.requests.Slow > 0 && took >= f.requests.Slow
	sampled := f.requests.Every > 0 && f.logged.Add(1)%uint64(f.requests.Every) == 0
	if !slow && !sampled {
		return
	}
	event, message := f.log.Info(), "request"
	if slow {
		event, message = f.log.Warn(), "slow request"
	}
	event.Str("cid", cid).Bytes("method", ctx.Method()).Bytes("path", ctx.Path()).Str("route", class).
		Int("status", ctx.Response.StatusCode()).Int("bytes_in", max(0, ctx.Request.Header.ContentLength())).Int("bytes_out", sizeOf(&ctx.Response)).
		Stringer("client", ctx.RemoteAddr()).Dur("took_ms", took).Msg(message)
}

// sizeOf is the size of a response's body, -1 if it is not known. A stream must not be looked into: it is the client's.
func sizeOf(response *fasthttp.Response) int {
	if response.IsBodyStream() {
		return response.Header.ContentLength()
	}
	return len(response.Body())
}

// debugLog takes what fasthttp says of connections: mostly of clients that went away.
type debugLog struct{ log zerolog.Logger }

func (l debugLog) Printf(format string, args ...any) { l.log.Debug().Msgf(format, args...) }

var (
	transferEncoding = []byte(fasthttp.HeaderTransferEncoding + ":")
	identity         = []byte("identity")
)

// ambiguous says whether the request has the transfer encoding "identity": fasthttp refuses every one that it does not
// know, but drops this one, and would take a body without a length for the next request.
func ambiguous(header *fasthttp.RequestHeader) bool {
	for line := range bytes.Lines(header.RawHeaders()) {
		if len(line) > len(transferEncoding) && bytes.EqualFold(line[:len(transferEncoding)], transferEncoding) {
			return bytes.EqualFold(bytes.TrimSpace(line[len(transferEncoding):]), identity)
		}
	}
	return false
}
