package front

import (
	"bytes"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

// RequestLog is what the log tells of requests.
type RequestLog struct {
	Every int           // one of so many requests; 0: none
	Slow  time.Duration // and every one that took longer; 0: none of them
}

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
	defer f.rescue(ctx, cid, &class)
	if ambiguous(&ctx.Request.Header) || misread(&ctx.Request.Header) {
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
	case f.proxy != nil && !f.isPrivate(ctx) && !ownPath(path):
		class = proxied
		f.pass(ctx, cid)
	default:
		fail(ctx, fasthttp.StatusNotFound, cid, "nothing is at this path")
	}
	return class, route
}

// rescue, deferred, answers for a handler that panics.
func (f *Front) rescue(ctx *fasthttp.RequestCtx, cid string, class *string) {
	reason := recover()
	if reason == nil {
		return
	}
	f.log.Error().Str("cid", cid).Str("route", *class).Any("panic", reason).Bytes("stack", debug.Stack()).Msg("a handler panicked")
	ctx.Response.Reset()
	kind, details := service.Classify(errPanic)
	fail(ctx, statusOf(kind), cid, details)
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

// answerMetrics answers who collects the metrics, as only the front itself can.
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

// misread says whether fasthttp takes another part of the target for the path than the load balancer and an application
// do. Of one that begins with "//" it takes the first segment for a host, if "://" is anywhere in it or the client names
// no host; of one that is neither a path nor a URL, whatever it finds.
func misread(header *fasthttp.RequestHeader) bool {
	target := header.RequestURI()
	switch slash := bytes.IndexByte(target, '/'); {
	case bytes.HasPrefix(target, []byte("//")):
		return len(header.Host()) == 0 || bytes.Contains(target, []byte("://"))
	case slash == 0, string(target) == "*":
		return false
	default:
		return slash < 1 || target[slash-1] != ':' || !bytes.HasPrefix(target[slash:], []byte("//"))
	}
}
