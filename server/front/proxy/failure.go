package proxy

import (
	"errors"
	"net"
	"os"

	"github.com/valyala/fasthttp"
)

// failure is why a request could not be forwarded.
type failure struct {
	status  int
	reason  string // label of the metric
	details string // for the client
	cause   error  // for the log
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.details
	}
	return f.details + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// statusGone stands in the metrics for a client that did not wait for its answer. Nobody gets it.
const statusGone = 499

var (
	errGone    = &failure{status: statusGone, reason: "client_gone", details: "the client has gone"}
	errLate    = &failure{status: fasthttp.StatusGatewayTimeout, reason: "response_timeout", details: "the application did not answer in time"}
	errStalled = &failure{status: fasthttp.StatusGatewayTimeout, reason: "body_timeout", details: "the application stopped in the middle"}
)

func badRequest(cause error) *failure {
	return &failure{fasthttp.StatusBadRequest, "bad_request", "this request cannot be passed on", cause}
}

// whyNoConnection tells what went wrong before anything was sent.
func whyNoConnection(err error) *failure {
	var network net.Error
	switch {
	case errors.Is(err, errStopped):
		return stopping(err)
	case errors.Is(err, errBusy):
		return &failure{fasthttp.StatusServiceUnavailable, "busy", "the application has too many requests in hand", err}
	case errors.As(err, &network) && network.Timeout():
		return &failure{fasthttp.StatusGatewayTimeout, "connect_timeout", "the application cannot be reached in time", err}
	default:
		return &failure{fasthttp.StatusBadGateway, "connect", "the application cannot be reached", err}
	}
}

// whyNoAnswer tells what went wrong after a request was sent, or a part of it, and before the head of its response.
func whyNoAnswer(err error, got int) *failure {
	var known *failure
	var tooSmall *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errStopped):
		return stopping(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{fasthttp.StatusGatewayTimeout, "body_timeout", "the application does not take the request", err}
	case errors.As(err, &tooSmall):
		return &failure{fasthttp.StatusBadGateway, "bad_response", "the application's response headers are too large", err}
	case got > 0:
		return &failure{fasthttp.StatusBadGateway, "bad_response", "the application's answer is no valid HTTP response", err}
	default:
		return &failure{fasthttp.StatusBadGateway, "no_response", "the application closed the connection without an answer", err}
	}
}

func stopping(cause error) *failure {
	return &failure{fasthttp.StatusServiceUnavailable, "stopping", "the server is stopping", cause}
}

// refuse answers in the application's place.
func (p *Proxy) refuse(ctx *fasthttp.RequestCtx, cid string, err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = whyNoAnswer(err, 0)
	}
	p.metrics.failures.WithLabelValues(f.reason).Inc()
	event := p.log.Warn()
	if f.status < 500 {
		event = p.log.Debug()
	}
	event.Err(f).Str("cid", cid).Str("reason", f.reason).Int("status", f.status).Msg("a request was not forwarded")
	ctx.Response.Reset()
	if f.status == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	p.options.Refuse(ctx, f.status, cid, f.details)
	if f.status < 500 {
		ctx.SetConnectionClose() // who knows where the next request begins
	}
	if ctx.Request.IsBodyStream() {
		linger(ctx)
	}
}

// linger lets a client that is still sending read its answer before its connection is closed.
func linger(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(interface{ LingerOnClose() }); ok {
		c.LingerOnClose()
	}
}
