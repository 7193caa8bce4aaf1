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
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"zatoha/server/service"
)

const (
	contentType = "application/json"
	metricsPath = "/metrics"

	// answerGrace is for services that were told to give up to say so to their callers.
	answerGrace = 250 * time.Millisecond
)

var errPanic = errors.New("panic")

// cidHeader is set as it is: fasthttp would make it X-Zato-Cid.
var cidHeader = []byte("X-Zato-CID")

// Limits is what a client may ask of the server. All must be positive.
type Limits struct {
	HeaderBytes  int           // request line and headers; more is answered with 431
	BodyBytes    int           // request body; more is answered with 413
	Connections  int           // open at a time, so also the requests being answered; more get 503
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
	metrics  *metrics
	scrape   fasthttp.RequestHandler
	server   *fasthttp.Server
	services context.Context // of every service call
	giveUp   context.CancelFunc
}

// New makes a front that answers what the router knows, and GET /metrics from the registry, to which it adds its own
// metrics. Giving one registry to two fronts panics.
func New(router Router, limits Limits, registry *prometheus.Registry, log zerolog.Logger) *Front {
	f := &Front{
		router: router, limits: limits, log: log, metrics: newMetrics(registry),
		scrape: fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})),
	}
	f.services, f.giveUp = context.WithCancel(context.Background())
	f.server = &fasthttp.Server{
		Handler:       f.handle,
		ErrorHandler:  f.refuse,
		ExpectHandler: f.expect,

		ReadBufferSize:     limits.HeaderBytes,
		MaxRequestBodySize: limits.BodyBytes,
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
	}
	return f
}

// Serve answers requests until Shutdown, then returns nil; otherwise it returns why it cannot go on. It closes the
// listener. Call it once.
func (f *Front) Serve(listener net.Listener) error {
	limited := newListener(listener, f.limits.Connections, f.overload)
	if err := f.server.Serve(limited); err != nil {
		return fmt.Errorf("accept connections on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting, closes connections without a request at once and waits for the other requests to be
// answered. Services that are not done after the time given find their context ended, and requests from then on get 503;
// a moment later Shutdown returns in any case, with an error if it left connections behind. Call it once.
func (f *Front) Shutdown(finish time.Duration) error {
	defer time.AfterFunc(finish, f.giveUp).Stop()
	defer f.giveUp()
	ctx, cancel := context.WithTimeout(context.Background(), finish+answerGrace)
	defer cancel()
	if err := f.server.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("finish %d open connections within %v: %w", f.server.GetOpenConnectionsCount(), finish, err)
	}
	return nil
}

// handle answers one request that fasthttp could parse.
func (f *Front) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	f.metrics.inFlight.Inc()
	class := f.dispatch(ctx, service.NewCID())
	f.metrics.inFlight.Dec()
	f.metrics.observe(class, ctx.Response.StatusCode(), time.Since(start))
}

// dispatch finds and calls the service. It returns the class of the path for the metrics.
func (f *Front) dispatch(ctx *fasthttp.RequestCtx, cid string) (class string) {
	class = unknownPath
	defer func() {
		if reason := recover(); reason != nil {
			f.log.Error().Str("cid", cid).Str("route", class).Any("panic", reason).Bytes("stack", debug.Stack()).
				Msg("a service panicked")
			ctx.Response.Reset()
			kind, details := service.Classify(errPanic)
			fail(ctx, statusOf(kind), cid, details)
		}
	}()
	if ambiguous(&ctx.Request.Header) {
		ctx.SetConnectionClose()
		fail(ctx, fasthttp.StatusBadRequest, cid, "this is no valid HTTP request")
		return class
	}
	if f.services.Err() != nil {
		fail(ctx, fasthttp.StatusServiceUnavailable, cid, "the server is stopping")
		return class
	}
	if string(ctx.Path()) == metricsPath {
		return f.answerMetrics(ctx, cid)
	}
	path := ctx.Path()
	match := f.router.Route(methodName(ctx.Method()), unsafe.String(unsafe.SliceData(path), len(path)))
	switch {
	case match.Route != nil:
		class = match.Route.Pattern
		f.call(ctx, match.Route, cid)
	case match.Allow != "":
		ctx.Response.Header.Set(fasthttp.HeaderAllow, match.Allow)
		fail(ctx, fasthttp.StatusMethodNotAllowed, cid, "this path takes "+match.Allow)
	default:
		fail(ctx, fasthttp.StatusNotFound, cid, "nothing is at this path")
	}
	return class
}

func (f *Front) call(ctx *fasthttp.RequestCtx, route *Route, cid string) {
	request := service.Request{CID: cid}
	if body := ctx.PostBody(); len(body) > 0 {
		// fasthttp uses its memory again as soon as this returns, a service may keep its request.
		request.Payload = bytes.Clone(body)
		request.ContentType = string(ctx.Request.Header.ContentType())
	}
	call := service.NewContext(f.services, service.Call{CID: cid})
	defer call.End()
	response, err := route.Service(call, request)
	if err != nil {
		f.answerError(ctx, route, cid, err)
		return
	}
	ctx.Response.Header.SetCanonical(cidHeader, []byte(cid))
	if response.ContentType == "" {
		response.ContentType = contentType
	}
	ctx.Response.Header.SetContentType(response.ContentType)
	ctx.Response.SetBodyRaw(response.Payload)
}

func (f *Front) answerError(ctx *fasthttp.RequestCtx, route *Route, cid string, err error) {
	kind, details := service.Classify(err)
	level := zerolog.DebugLevel
	if kind == service.Internal || kind == service.Unavailable || kind == service.Timeout {
		level = zerolog.ErrorLevel
	}
	f.log.WithLevel(level).Err(err).Str("cid", cid).Str("route", route.Pattern).Msg("a service failed")
	if kind == service.Unauthorized {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Basic realm="zato"`)
	}
	fail(ctx, statusOf(kind), cid, details)
}

func (f *Front) answerMetrics(ctx *fasthttp.RequestCtx, cid string) (class string) {
	if !ctx.IsGet() {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, fasthttp.MethodGet)
		fail(ctx, fasthttp.StatusMethodNotAllowed, cid, "this path takes GET")
		return metricsPath
	}
	f.scrape(ctx)
	ctx.Response.Header.SetCanonical(cidHeader, []byte(cid))
	return metricsPath
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
