package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// inlineBody is up to where a body is sent before the response is waited for: the server has read so much already.
const inlineBody = 8 << 10

// surelyTaken is what the buffer of a socket that has nothing in it takes without waiting.
const surelyTaken = 4 << 10

// maxInterim bounds the interim responses before a response.
const maxInterim = 16

// exchange is one request and its response on one connection to the upstream.
type exchange struct {
	p      *Proxy
	ctx    *fasthttp.RequestCtx
	client net.Conn
	cid    string
	c      *upstreamConn
	head   head
	upload *upload // nil if the request was sent whole before its response was waited for
	buffer *[]byte // holds the head until an upload takes it
	sent   time.Time
	inBody bool // the head of the response has come
	keep   bool // the connection can be used again
}

// forward returns nil when the response is made, or is about to come through a body stream or a tunnel.
func (p *Proxy) forward(ctx *fasthttp.RequestCtx, cid string) error {
	e := &exchange{p: p, ctx: ctx, client: ctx.Conn(), cid: cid}
	defer e.release()
	text, err := e.makeHead()
	if err != nil {
		return err
	}
	if err := p.pool.take(); err != nil {
		return whyNoConnection(err)
	}
	err = e.try(text, false)
	var f *failure
	if errors.As(err, &f) && f.reason == "no_response" && e.again() {
		p.pool.forget(e.c)
		p.metrics.repeated.Inc()
		if text, err = e.makeHead(); err == nil {
			err = e.try(text, true)
		}
	}
	if err != nil {
		e.abandon()
		if p.alive.Err() != nil {
			return stopping(err)
		}
	}
	return err
}

func (e *exchange) makeHead() ([]byte, error) {
	request := &e.ctx.Request
	length := request.Header.ContentLength()
	if !request.IsBodyStream() {
		if body := request.Body(); len(body) > 0 || length >= 0 || length == chunked {
			length = len(body)
		}
	}
	if string(request.Header.Method()) == fasthttp.MethodConnect {
		return nil, badRequest(errors.New("CONNECT is for proxies of clients"))
	}
	host := request.Header.Host()
	if len(host) == 0 {
		host = []byte(e.p.host)
	}
	e.head = head{
		method: request.Header.Method(), target: request.Header.RequestURI(), host: host, raw: request.Header.RawHeaders(),
		length: length, cid: e.cid, prefix: e.p.prefix,
	}
	e.buffer = buffers.Get().(*[]byte)
	text, err := e.head.append((*e.buffer)[:0])
	if err != nil {
		return nil, badRequest(err)
	}
	// An upload sends what is in the buffer: the text must not have grown out of it, not even for a moment.
	if len(text) > bufferSize-inlineBody || cap(text) > bufferSize {
		return nil, &failure{fasthttp.StatusRequestHeaderFieldsTooLarge, "bad_request", "the request headers are too large", nil}
	}
	return text, nil
}

// again says whether the request may be sent once more: see the package comment.
func (e *exchange) again() bool {
	if e.c == nil || !e.c.used || e.head.length > 0 || e.head.length == chunked {
		return false
	}
	switch string(e.head.method) {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodOptions, fasthttp.MethodPut, fasthttp.MethodDelete:
		return e.head.upgrade == nil
	}
	return false
}

// try sends the request on one connection and makes the response of what comes back.
func (e *exchange) try(head []byte, fresh bool) error {
	c, err := e.p.pool.get(e.p.alive, fresh)
	if err != nil {
		e.c = nil
		return whyNoConnection(err)
	}
	e.c, c.lookout = c, e
	err = e.send(head)
	e.release() // the application may take its time
	if err != nil {
		return err
	}
	if err := e.receiveHead(); err != nil {
		return err
	}
	return e.answer()
}

// send sends the head, and the body if it is small and here; a larger one it begins to send.
func (e *exchange) send(head []byte) error {
	body := []byte(nil)
	switch {
	case e.head.length == none || e.head.length == 0:
	case !e.ctx.Request.IsBodyStream():
		body = e.ctx.Request.Body()
	case e.head.length > inlineBody || e.head.length == chunked:
		e.upload = startUpload(e, e.buffer, len(head))
		e.buffer = nil
		return nil
	default:
		body = (*e.buffer)[len(head) : len(head)+e.head.length]
		if _, err := io.ReadFull(e.ctx.Request.BodyStream(), body); err != nil {
			return clientFault(err)
		}
	}
	return e.sendWhole(head, body)
}

// sendWhole sends a request that is all here.
func (e *exchange) sendWhole(head, body []byte) (err error) {
	if len(head)+len(body) > surelyTaken {
		if err := e.c.SetWriteDeadline(time.Now().Add(e.p.options.BodyTimeout)); err != nil {
			return whyNoAnswer(e.c.because(err), 0)
		}
	}
	if len(body) > 0 && cap(head)-len(head) >= len(body) {
		_, err = e.c.Write(append(head, body...)) // onto itself, if it was read there
	} else if _, err = e.c.Write(head); err == nil && len(body) > 0 {
		_, err = e.c.Write(body)
	}
	if err == nil && len(head)+len(body) > surelyTaken {
		err = e.c.SetWriteDeadline(time.Time{})
	}
	e.sent = time.Now()
	if err != nil {
		return whyNoAnswer(e.c.because(err), 0)
	}
	return nil
}

func (e *exchange) release() {
	if e.buffer != nil {
		buffers.Put(e.buffer)
		e.buffer = nil
	}
}

// receiveHead reads the response's head into the front's response, and passes on what comes before it.
func (e *exchange) receiveHead() error {
	h := &e.ctx.Response.Header
	for range maxInterim {
		_, err := e.c.in.Peek(1)
		if err == nil {
			err = h.Read(e.c.in)
		}
		if err != nil {
			return whyNoAnswer(e.c.because(err), e.c.got)
		}
		h.SetNoDefaultContentType(true)
		status := h.StatusCode()
		switch {
		case status == fasthttp.StatusSwitchingProtocols && e.head.upgrade != nil, status >= 200 && status <= 999:
			return nil
		case status == fasthttp.StatusContinue: // the client had its own before its body was read
		case status >= 102 && status < 200:
			e.passInterim(h)
		default:
			return whyNoAnswer(errors.New("a status that nobody asked for"), e.c.got)
		}
	}
	return whyNoAnswer(errors.New("too many interim responses"), e.c.got)
}

// passInterim hands an interim response, like 103 Early Hints, to the client at once.
func (e *exchange) passInterim(h *fasthttp.ResponseHeader) {
	if !e.ctx.Request.Header.IsHTTP11() {
		return
	}
	cleanse(h, e.cid)
	if err := e.client.SetWriteDeadline(time.Now().Add(e.p.options.BodyTimeout)); err == nil {
		_, _ = e.client.Write(h.Header()) // who cannot be written to will be found gone
	}
}

// look implements lookout: it is asked while the response is waited for.
func (e *exchange) look(waited time.Duration) (time.Duration, error) {
	if socketOf(e.client).ended() {
		return 0, errGone
	}
	if e.inBody {
		if waited >= e.p.options.BodyTimeout {
			return 0, errStalled
		}
		return min(lastLook, e.p.options.BodyTimeout-waited), nil
	}
	sent := e.sent
	if e.upload != nil {
		if !e.upload.ended() {
			return lastLook, nil // it has its own limits
		}
		sent = e.upload.end
	}
	left := e.p.options.ResponseTimeout - time.Since(sent)
	if left <= 0 {
		return 0, errLate
	}
	return min(lastLook, left), nil
}

// answer makes the response of its head, which has been read.
func (e *exchange) answer() error {
	response := &e.ctx.Response
	if response.StatusCode() == fasthttp.StatusSwitchingProtocols {
		return e.openTunnel()
	}
	e.inBody = true
	e.keep = cleanse(&response.Header, e.cid)
	if e.upload != nil && !e.upload.endsSoon() {
		// The answer to a request that is still coming in. The client can read it, but must not send another after it.
		response.Header.SetConnectionClose()
		linger(e.ctx)
	}
	length, status := response.Header.ContentLength(), response.StatusCode()
	switch {
	case e.ctx.IsHead(), status == fasthttp.StatusNoContent, status == fasthttp.StatusNotModified:
		e.finish(true)
	case length >= 0 && length <= e.c.in.Buffered():
		body, err := e.c.in.Peek(length)
		if err != nil {
			return whyNoAnswer(err, e.c.got)
		}
		response.SetBody(body)
		_, _ = e.c.in.Discard(length)
		e.finish(true)
	default:
		e.stream(length)
	}
	return nil
}

// finish ends the exchange; whole says whether the response was read to its end.
func (e *exchange) finish(whole bool) {
	c := e.c
	sent := e.upload == nil || e.upload.stop()
	if whole && sent && e.keep && c.in.Buffered() == 0 && c.cause.Load() == nil {
		e.p.pool.keep(c)
		return
	}
	e.p.pool.drop(c)
}

// abandon ends an exchange of which nothing came.
func (e *exchange) abandon() {
	if e.c == nil {
		<-e.p.pool.slots
		return
	}
	_ = e.c.Close()
	e.finish(false)
}

var _ lookout = (*exchange)(nil)
