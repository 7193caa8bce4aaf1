package front

import (
	"context"
	"errors"
	"mime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

var (
	errPanic = errors.New("panic")
	errBusy  = service.NewError(service.Unavailable, "the server has too many requests in hand", nil)
)

// serve answers a request that has a route.
func (f *Front) serve(ctx *fasthttp.RequestCtx, match Match, cid string) {
	route := match.Route
	if route.Guard != nil && !route.Guard.admits(&ctx.Request.Header) {
		route.Guard.refuse(ctx, cid)
		return
	}
	if route.Channel != "" && !f.enter() {
		f.answerBusy(ctx, cid)
		return
	}
	if route.Handler != nil {
		if route.Channel != "" {
			defer f.leave()
		}
		f.forward(ctx, route, cid)
		return
	}
	if !f.collect(ctx, cid) {
		if route.Channel != "" {
			f.leave()
		}
		return
	}
	if route.Channel == "" {
		f.answer(ctx, route, cid, f.own(route, request(ctx, Match{}, cid)))
		return
	}
	if status, details := unfit(ctx, route); status != 0 {
		f.leave()
		fail(ctx, status, cid, details)
		return
	}
	f.answer(ctx, route, cid, f.call(route, traceOf(ctx), request(ctx, match, cid)))
}

// own runs a service that the server has for itself. It is counted with its route, and not once more as a service.
func (f *Front) own(route *Route, request service.Request) outcome {
	ctx := service.NewContext(f.services, service.Call{CID: request.CID, Service: route.Name, Logger: f.slog, Outgoing: f.outgoing})
	defer ctx.End()
	return f.protected(ctx, route, request)
}

// forward lets a handler answer, and says afterwards what nobody but us may say.
func (f *Front) forward(ctx *fasthttp.RequestCtx, route *Route, cid string) {
	counters := f.metrics.of(route)
	counters.inFlight.Inc()
	start := time.Now()
	kind := service.Kind(-1)
	defer func() {
		counters.done(f.metrics, route, kind, time.Since(start))
	}()
	kind = service.Internal // unless it returns
	route.Handler.Handle(ctx, cid)
	kind = kindOf(ctx.Response.StatusCode())
	setCID(ctx, cid)
}

// unfit says what is wrong with the body of a request to a channel of JSON, or returns status 0.
func unfit(ctx *fasthttp.RequestCtx, route *Route) (status int, details string) {
	if !route.JSON || len(ctx.PostBody()) == 0 {
		return 0, ""
	}
	if given := mediaType(ctx.Request.Header.ContentType()); given != "" && !isJSON(given) {
		return fasthttp.StatusUnsupportedMediaType, "this channel takes application/json"
	}
	if !validJSON(ctx.PostBody()) {
		return fasthttp.StatusBadRequest, "the body is not JSON"
	}
	return 0, ""
}

// isJSON takes what common clients send without thinking for JSON, too: curl -d says that it is a form.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json") || kind == "application/x-www-form-urlencoded")
}

// outcome is what came of a call of a service.
type outcome struct {
	response service.Response
	err      error
}

// call runs the service of a channel's route.
func (f *Front) call(route *Route, trace service.Trace, request service.Request) outcome {
	call := service.Call{
		CID: request.CID, Service: route.Name, Channel: route.Channel, Trace: trace, Logger: f.slog, Outgoing: f.outgoing,
	}
	if route.Guard != nil {
		call.Caller = route.Guard.caller
	}
	return f.callAs(route, call, request, f.leaveAfter)
}

// callAs runs the service of a route, and returns what came of it, at the latest when the route's time is over: a
// service that does not heed its context is then left behind, and goes on to count towards the limit of concurrency.
// When it has really ended, after is called.
func (f *Front) callAs(route *Route, call service.Call, request service.Request, after func(outcome)) outcome {
	start := time.Now()
	if route.Timeout <= 0 {
		return f.run(route, call, request, start, after)
	}
	call.Deadline = start.Add(route.Timeout)
	return f.timed(route, call, request, start, after)
}

// run runs the service to its end, counts that, and calls after.
func (f *Front) run(route *Route, call service.Call, request service.Request, start time.Time, after func(outcome)) (o outcome) {
	counters := f.metrics.of(route)
	counters.inFlight.Inc()
	var end func(error)
	if f.tracer != nil {
		call.Trace, end = f.tracer.Begin(call)
	} else if !call.Trace.IsZero() {
		call.Trace = call.Trace.Child()
	}
	ctx := service.NewContext(f.services, call)
	o.err = errPanic
	defer func() {
		ctx.End()
		counters.done(f.metrics, route, outcomeKind(o.err), time.Since(start))
		if end != nil {
			end(o.err)
		}
		if after != nil {
			after(o)
		}
	}()
	o = f.protected(ctx, route, request)
	return o
}

// protected calls the service and makes an error of its panic.
func (f *Front) protected(ctx *service.Context, route *Route, request service.Request) (o outcome) {
	returned := false
	defer func() {
		if reason := recover(); reason != nil || !returned { // not returned and no reason: runtime.Goexit
			f.log.Error().Str("cid", ctx.CID()).Str("route", route.Pattern).Any("panic", reason).Bytes("stack", debug.Stack()).
				Msg("a service panicked")
			o = outcome{err: errPanic}
		}
	}()
	o.response, o.err = route.Service(ctx, request)
	returned = true
	if f.services.Err() != nil && errors.Is(o.err, context.Canceled) {
		o.err = stopping(o.err)
	}
	return o
}

// stopping is the error of a service that gave up because the server did. What a service has cancelled itself is a fault
// of its own, and no reason to try it elsewhere.
func stopping(cause error) error {
	var chosen *service.Error
	if errors.As(cause, &chosen) {
		return cause
	}
	return service.NewError(service.Unavailable, "the server is stopping", cause)
}

// answer turns an outcome into a response.
func (f *Front) answer(ctx *fasthttp.RequestCtx, route *Route, cid string, o outcome) {
	if o.err != nil {
		f.answerError(ctx, route, cid, o.err)
		return
	}
	setCID(ctx, cid)
	if o.response.ContentType == "" {
		o.response.ContentType = contentType
	}
	ctx.Response.Header.SetContentType(o.response.ContentType)
	ctx.Response.SetBodyRaw(o.response.Payload)
}

func (f *Front) answerError(ctx *fasthttp.RequestCtx, route *Route, cid string, err error) {
	kind, details := service.Classify(err)
	level := zerolog.DebugLevel
	if kind == service.Internal || kind == service.Unavailable || kind == service.Timeout {
		level = zerolog.ErrorLevel
	}
	if !errors.Is(err, errPanic) && !errors.Is(err, errBusy) { // said already, or not to be said under load
		f.log.WithLevel(level).Err(err).Str("cid", cid).Str("route", route.Pattern).Msg("a service failed")
	}
	if kind == service.Unauthorized {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Basic realm="zato"`)
	}
	fail(ctx, statusOf(kind), cid, details)
}

// answerBusy tells a client that it would be one too many.
func (f *Front) answerBusy(ctx *fasthttp.RequestCtx, cid string) {
	f.metrics.busy.Inc()
	_, details := service.Classify(errBusy)
	fail(ctx, fasthttp.StatusServiceUnavailable, cid, details)
}

// enter takes one of the places for requests in hand, if there is one left. Each is given back by leave.
func (f *Front) enter() bool {
	if f.inHand.Add(1) <= int64(f.limits.Concurrency) {
		return true
	}
	f.inHand.Add(-1)
	return false
}

func (f *Front) leave() { f.inHand.Add(-1) }
