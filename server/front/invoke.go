package front

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"zatoha/server/invoke"
	"zatoha/server/service"
)

const (
	invokePrefix  = "/zato/invoke/"
	invokePattern = "/zato/invoke/{service}"
	invokeChannel = "zato.invoke" // as metrics know it: connectors' names are no labels

	connectorHeader = "X-Zato-Connector"
	epochHeader     = "X-Zato-Connector-Epoch"
	messageHeader   = "X-Zato-Message-ID"
	againHeader     = "X-Zato-Redelivered" // "true" if the message may have been here before; else it is new, whatever its ID
	tokenHeader     = "X-Zato-Invoke-Token"
	duplicateHeader = "X-Zato-Duplicate"

	longestID = 512
	// mostRemembered is how large an answer may be to be given again: of a larger one only the success is remembered.
	mostRemembered = 64 << 10
)

// Invocations is how connectors call services: POST /zato/invoke/<service> with the headers X-Zato-Connector,
// X-Zato-Connector-Epoch and X-Zato-Message-ID, and X-Zato-Redelivered where the message may have been here before.
// Errors of services are answered as channels answer them, but a service that took too long is 504, which counts as an
// attempt.
type Invocations struct {
	Services *service.Registry
	Fence    *invoke.Fence
	Window   *invoke.Window[service.Response]
	Timeout  time.Duration           // of a service; must be positive
	Accepts  func(token []byte) bool // says whether a call has the cluster's token; nil: none is asked for, and then there must be a listener for calls
	Private  bool                    // there is a listener for them, and they are nowhere else
	Informed <-chan struct{}         // closed when the fence knows the epoch of today, or need not; until then all get 503. nil: it does

	front  *Front
	routes sync.Map // service → *Route
}

func (i *Invocations) attach(f *Front, registry *prometheus.Registry) {
	i.front = f
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registry.MustRegister(
		gauge("zato_server_connector_epoch", "Highest epoch of a connector host that is known.", func() float64 {
			return float64(i.Fence.Highest())
		}),
		gauge("zato_server_messages_remembered", "Messages whose answers are remembered.", func() float64 {
			remembered, _ := i.Window.Size()
			return float64(remembered)
		}),
	)
}

// at says whether a path is an invocation's, on a listener where there are any. Elsewhere nothing is at it.
func (i *Invocations) at(path []byte, private bool) bool {
	return i != nil && bytes.HasPrefix(path, []byte(invokePrefix)) && (private || !i.Private && i.Accepts != nil)
}

// answer answers an invocation.
func (i *Invocations) answer(ctx *fasthttp.RequestCtx, cid string) (class string, route *Route) {
	class = invokePattern
	message, admitted := i.admit(ctx, cid)
	if !admitted {
		return class, nil
	}
	name := string(ctx.Path()[len(invokePrefix):])
	if route = i.route(name); route == nil {
		i.refuse(ctx, fasthttp.StatusNotFound, cid, fmt.Sprintf("there is no service %q here", shortened(name)))
		return class, nil
	}
	if !i.front.collect(ctx, cid) {
		i.count("refused")
		return class, route
	}
	if !i.Fence.Admit(message.epoch) { // a body takes its time, and meanwhile another host may have taken over
		i.fenceOff(ctx, message, cid)
		return class, route
	}
	o, duplicate := i.once(ctx, route, message, cid)
	switch {
	case duplicate:
		i.count("duplicate")
		if o.err == nil {
			ctx.Response.Header.Set(duplicateHeader, "true")
		}
	case errors.Is(o.err, errBusy):
		i.count("deferred")
	default:
		i.count("run")
	}
	i.front.answer(ctx, route, cid, o)
	if kind, _ := service.Classify(o.err); o.err != nil && kind == service.Timeout {
		// 503 would say that nobody was reached: the connector would try a message that is too much for its service for ever.
		ctx.Response.SetStatusCode(fasthttp.StatusGatewayTimeout)
		ctx.Response.Header.Del(fasthttp.HeaderRetryAfter)
	}
	return class, route
}

// admit reads what the headers say of a message, if whoever sends it may do so, and answers if not.
func (i *Invocations) admit(ctx *fasthttp.RequestCtx, cid string) (message invocation, admitted bool) {
	if i.Accepts != nil && !i.Accepts(tokenOf(&ctx.Request.Header)) {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, tokenChallenge)
		i.refuse(ctx, fasthttp.StatusUnauthorized, cid, "invocations need the cluster's token, as Authorization: Bearer or "+tokenHeader)
		return message, false
	}
	if !ctx.IsPost() {
		answerOther(ctx, cid, fasthttp.MethodPost)
		return message, false
	}
	message, faults := readInvocation(&ctx.Request.Header)
	if faults != "" {
		i.refuse(ctx, fasthttp.StatusBadRequest, cid, faults)
		return message, false
	}
	if !i.informed() {
		i.count("deferred")
		fail(ctx, fasthttp.StatusServiceUnavailable, cid, "this server has just started, and does not know yet which connector host may act")
		return message, false
	}
	if !i.Fence.Admit(message.epoch) {
		i.fenceOff(ctx, message, cid)
		return message, false
	}
	return message, true
}

// count counts what became of a message: see newMetrics.
func (i *Invocations) count(what string) { i.front.metrics.invocations.WithLabelValues(what).Inc() }

func (i *Invocations) refuse(ctx *fasthttp.RequestCtx, status int, cid, why string) {
	i.count("refused")
	fail(ctx, status, cid, why)
}

// fenceOff answers a connector host whose time is over.
func (i *Invocations) fenceOff(ctx *fasthttp.RequestCtx, message invocation, cid string) {
	highest := i.Fence.Highest()
	i.count("stale")
	i.front.log.Warn().Str("cid", cid).Str("connector", message.connector).Uint64("epoch", message.epoch).
		Uint64("highest", highest).Msg("refused a connector host whose time is over")
	ctx.Response.Header.Set(epochHeader, fmt.Sprint(highest))
	details := fmt.Sprintf("epoch %d is over, there is %d: another connector host has taken over", message.epoch, highest)
	fail(ctx, fasthttp.StatusConflict, cid, details)
}

// informed says whether the fence can tell. A server that has just started would let in a host whose time was over
// before.
func (i *Invocations) informed() bool {
	if i.Informed == nil {
		return true
	}
	select {
	case <-i.Informed:
		return true
	default:
		return false
	}
}

var bodySeed = maphash.MakeSeed()

// once runs the service, unless the message comes again and is being worked on or was: then it returns what comes, or
// came, of that.
func (i *Invocations) once(ctx *fasthttp.RequestCtx, route *Route, message invocation, cid string) (o outcome, duplicate bool) {
	body := strconv.FormatUint(maphash.Bytes(bodySeed, ctx.PostBody()), 36) // publishers give one ID to several messages
	key := message.connector + "\n" + route.Name + "\n" + message.id + "\n" + body
	seen, first := i.Window.Begin(key, message.again, time.Now())
	if !first {
		return i.awaited(seen), true
	}
	finish := func(o outcome) {
		answer := o.response
		if len(answer.Payload) > mostRemembered {
			answer.Payload = nil
		}
		i.Window.Finish(seen, answer, len(answer.Payload), o.err, time.Now())
	}
	if !i.front.enter() {
		i.front.metrics.busy.Inc()
		finish(outcome{err: errBusy})
		return outcome{err: errBusy}, false
	}
	call := service.Call{
		CID: cid, Service: route.Name, Channel: message.connector, Caller: message.connector,
		Trace: traceOf(ctx), Logger: i.front.slog, Outgoing: i.front.outgoing,
	}
	r := request(ctx, Match{}, cid)
	r.Headers = headers(&ctx.Request.Header, tokenHeader)
	for n, header := range r.Headers {
		if strings.EqualFold(header.Name, fasthttp.HeaderAuthorization) {
			r.Headers[n].Value = ""
		}
	}
	return i.front.callAs(route, call, r, func(o outcome) {
		finish(o)
		i.front.leave()
	}), false
}

// awaited is the outcome of a message that somebody else works on.
func (i *Invocations) awaited(message *invoke.Message[service.Response]) outcome {
	timer := time.NewTimer(i.Timeout)
	defer timer.Stop()
	select {
	case <-message.Done():
		response, err := message.Outcome()
		return outcome{response, err}
	case <-timer.C:
		return outcome{err: service.NewError(service.Timeout, "the message is still being worked on", nil)}
	case <-i.front.services.Done():
		return outcome{err: stopping(i.front.services.Err())}
	}
}

// route finds the route of a service, nil if there is no such service.
func (i *Invocations) route(name string) *Route {
	if found, ok := i.routes.Load(name); ok {
		return found.(*Route)
	}
	known, ok := i.Services.Lookup(name)
	if !ok {
		return nil
	}
	made := &Route{Pattern: invokePattern, Service: known, Name: name, Channel: invokeChannel, Timeout: i.Timeout}
	found, _ := i.routes.LoadOrStore(name, made)
	return found.(*Route)
}

// invocation is what the headers say.
type invocation struct {
	connector, id string
	epoch         uint64
	again         bool
}

// readInvocation reads the headers. Faults are all that is wrong with them.
func readInvocation(header *fasthttp.RequestHeader) (i invocation, faults string) {
	var all []error
	text := func(name string) string {
		value := string(header.Peek(name))
		switch {
		case value == "":
			all = append(all, fmt.Errorf("%s: is missing", name))
		case len(value) > longestID:
			all = append(all, fmt.Errorf("%s: has more than %d bytes", name, longestID))
		}
		return value
	}
	i.connector, i.id = text(connectorHeader), text(messageHeader)
	i.again = string(header.Peek(againHeader)) == "true"
	epoch := text(epochHeader)
	var ok bool
	if i.epoch, ok = invoke.ParseEpoch(epoch); !ok && epoch != "" {
		all = append(all, fmt.Errorf("%s: %q is no whole number above 0", epochHeader, shortened(epoch)))
	}
	if err := errors.Join(all...); err != nil {
		return i, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return i, ""
}

// tokenOf is the token that a request carries.
func tokenOf(header *fasthttp.RequestHeader) []byte {
	scheme, token, _ := bytes.Cut(header.Peek(fasthttp.HeaderAuthorization), []byte(" "))
	if bytes.EqualFold(scheme, []byte("Bearer")) {
		return bytes.TrimSpace(token)
	}
	return header.Peek(tokenHeader)
}

func shortened(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "…"
	}
	return text
}
