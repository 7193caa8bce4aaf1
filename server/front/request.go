package front

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

const (
	traceHeader      = "traceparent"
	traceStateHeader = "tracestate"
)

// traceOf is the caller's place in its trace, zero if it has none or says it badly.
func traceOf(ctx *fasthttp.RequestCtx) service.Trace {
	trace, found := service.ParseTrace(string(ctx.Request.Header.Peek(traceHeader)))
	if !found || len(ctx.Request.Header.Peek(traceStateHeader)) == 0 {
		return trace
	}
	return trace.WithState(string(bytes.Join(ctx.Request.Header.PeekAll(traceStateHeader), []byte(","))))
}

// request is what a service gets of an HTTP request. fasthttp uses its memory again as soon as the request is answered;
// a service may keep its request, so everything is copied.
func request(ctx *fasthttp.RequestCtx, match Match, cid string) service.Request {
	r := service.Request{CID: cid, Params: match.Params}
	if body := ctx.PostBody(); len(body) > 0 {
		r.Payload = bytes.Clone(body)
		r.ContentType = mediaType(ctx.Request.Header.ContentType())
	}
	if match.Route == nil { // of the server's own, which ask for no more
		return r
	}
	if query := ctx.QueryArgs(); query.Len() > 0 {
		if r.Params == nil {
			r.Params = make(map[string]string, query.Len())
		}
		for name, value := range query.All() {
			if _, there := r.Params[string(name)]; !there { // what the path says counts, then what comes first
				r.Params[string(name)] = string(value)
			}
		}
	}
	hidden := ""
	if match.Route.Guard != nil {
		hidden = match.Route.Guard.header()
	}
	r.Headers = headers(&ctx.Request.Header, hidden)
	return r
}

// mediaType spares the usual one an allocation.
func mediaType(given []byte) string {
	if string(given) == contentType {
		return contentType
	}
	return string(given)
}

// headers copies the headers, but one, into one piece of memory and a list of its parts.
func headers(from *fasthttp.RequestHeader, hidden string) service.Headers {
	var text strings.Builder
	text.Grow(len(from.RawHeaders()))
	list := make(service.Headers, 0, 8)
	part := func(of []byte) string {
		begin := text.Len()
		text.Write(of)
		return text.String()[begin:]
	}
	for name, value := range from.All() {
		if hidden == "" || !strings.EqualFold(string(name), hidden) {
			list = append(list, service.Header{Name: part(name), Value: part(value)})
		}
	}
	return list
}
