package front

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"unsafe"

	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

// envelope is the body of every answer that is not a service's. The CID needs no escaping.
func envelope(cid, details string) []byte {
	quoted, err := json.Marshal(details)
	if err != nil { // a string can always be marshalled
		quoted = []byte(`""`)
	}
	return fmt.Appendf(nil, `{"zato_env": {"result": "ZATO_ERROR", "cid": "%s", "details": %s}}`, cid, quoted)
}

// setCID sets the header; the bytes of the CID are copied.
func setCID(ctx *fasthttp.RequestCtx, cid string) {
	ctx.Response.Header.SetCanonical(cidHeader, unsafe.Slice(unsafe.StringData(cid), len(cid)))
}

func fail(ctx *fasthttp.RequestCtx, status int, cid, details string) {
	ctx.Response.SetStatusCode(status)
	if status == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryAfter)
	}
	setCID(ctx, cid)
	ctx.Response.Header.SetContentType(contentType)
	ctx.Response.SetBodyRaw(envelope(cid, details))
}

// statusOf is how HTTP says it. A service that took too long is 503: 504 would blame a server behind this one, and 408
// the client. To connectors it is 504: see Invocations.
func statusOf(kind service.Kind) int {
	switch kind {
	case service.BadRequest:
		return fasthttp.StatusBadRequest
	case service.NotFound:
		return fasthttp.StatusNotFound
	case service.Unauthorized:
		return fasthttp.StatusUnauthorized
	case service.Forbidden:
		return fasthttp.StatusForbidden
	case service.Conflict:
		return fasthttp.StatusConflict
	case service.TooLarge:
		return fasthttp.StatusRequestEntityTooLarge
	case service.Unavailable, service.Timeout:
		return fasthttp.StatusServiceUnavailable
	default:
		return fasthttp.StatusInternalServerError
	}
}

// kindOf is the kind of an error that a handler has answered with; -1 is a success.
func kindOf(status int) service.Kind {
	switch {
	case status < 400:
		return -1
	case status == fasthttp.StatusNotFound:
		return service.NotFound
	case status == fasthttp.StatusUnauthorized:
		return service.Unauthorized
	case status == fasthttp.StatusForbidden:
		return service.Forbidden
	case status == fasthttp.StatusConflict:
		return service.Conflict
	case status == fasthttp.StatusRequestEntityTooLarge:
		return service.TooLarge
	case status < 500:
		return service.BadRequest
	case status == fasthttp.StatusGatewayTimeout:
		return service.Timeout
	case status == fasthttp.StatusServiceUnavailable, status == fasthttp.StatusBadGateway:
		return service.Unavailable
	default:
		return service.Internal
	}
}

const bodyTooLarge = "the request body is too large"

// refuse answers what could not be read as a request. fasthttp closes the connection after it.
func (f *Front) refuse(ctx *fasthttp.RequestCtx, err error) {
	ctx.Response.Reset()
	f.metrics.refused(f.answerUnread(ctx, service.NewCID(), err))
}

// answerUnread answers what could not be read, of a request or of its body, and returns the status.
func (f *Front) answerUnread(ctx *fasthttp.RequestCtx, cid string, err error) (status int) {
	status, details := fasthttp.StatusBadRequest, "this is no valid HTTP request"
	var tooSmall *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case errors.As(err, &tooSmall):
		status, details = fasthttp.StatusRequestHeaderFieldsTooLarge, "the request headers are too large"
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		status, details = fasthttp.StatusRequestEntityTooLarge, bodyTooLarge
	case errors.As(err, &network) && network.Timeout():
		status, details = fasthttp.StatusRequestTimeout, "the request did not arrive in time"
	}
	f.log.Debug().Err(err).Str("cid", cid).Int("status", status).Msg("refused a request")
	fail(ctx, status, cid, details)
	lingerOnClose(ctx.Conn())
	return status
}

// expect decides on `Expect: 100-continue`: a body announced as too large is refused before it is sent.
func (f *Front) expect(ctx *fasthttp.RequestCtx) int {
	if ctx.Request.Header.ContentLength() <= f.limits.BodyBytes || f.forwards(ctx) {
		return fasthttp.StatusContinue
	}
	fail(ctx, fasthttp.StatusRequestEntityTooLarge, service.NewCID(), bodyTooLarge)
	lingerOnClose(ctx.Conn())
	f.metrics.refused(fasthttp.StatusRequestEntityTooLarge)
	return fasthttp.StatusRequestEntityTooLarge
}

// overload is the whole response to a connection over the limit.
func (f *Front) overload() []byte {
	cid := service.NewCID()
	f.metrics.refused(fasthttp.StatusServiceUnavailable)
	body := envelope(cid, "the server has too many connections")
	head := fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s: %s\r\n"+
		"Retry-After: %s\r\nConnection: close\r\n\r\n", contentType, len(body), cidHeader, cid, retryAfter)
	return append(head, body...)
}
