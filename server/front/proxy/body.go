package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"time"

	"github.com/valyala/fasthttp"
)

// body is a response's body on its way from the upstream to the client. The server reads and closes it.
type body struct {
	e      *exchange
	length int // bytes, chunked or none, which ends with the connection
	left   int
	chunks io.Reader
	whole  bool
	err    error // of the upstream
}

// stream makes the rest of the response come through a body.
func (e *exchange) stream(length int) {
	b := &body{e: e, length: length, left: length}
	response := &e.ctx.Response
	if length == chunked {
		b.chunks = httputil.NewChunkedReader(e.c.in)
	}
	if length == none {
		e.keep = false
	}
	if length < 0 && !e.ctx.Request.Header.IsHTTP11() {
		e.streamUntilClose(b)
		return
	}
	// A known length is written past the server's buffer, so its head must be out before. Otherwise the head may wait for
	// a part of the body only if that is here already.
	response.ImmediateHeaderFlush = length >= 0 || e.c.in.Buffered() == 0
	response.SetBodyStream(b, max(length, -1))
}

// streamUntilClose sends a body of unknown length to a client of HTTP/1.0, which knows no chunks: the end of the
// connection is the end of the body. The server has no way to write that, so it hands the connection over.
func (e *exchange) streamUntilClose(b *body) {
	h := &e.ctx.Response.Header
	h.Del(fasthttp.HeaderTransferEncoding)
	h.SetConnectionClose()
	head := bytes.Clone(h.Header())
	end := func() { _ = b.Close() }
	orphan := time.AfterFunc(handOverTime, end)
	e.ctx.HijackSetNoResponse(true)
	e.ctx.Hijack(func(client net.Conn) {
		if !orphan.Stop() {
			return
		}
		defer end()
		if client.SetWriteDeadline(time.Now().Add(e.p.options.BodyTimeout)) != nil {
			return
		}
		if _, err := client.Write(head); err == nil {
			_, _ = b.WriteTo(client) // what the upstream does wrong is told by Close
		}
	})
}

// SupportsBodyWriteTo makes the server call WriteTo instead of Read.
func (b *body) SupportsBodyWriteTo() bool { return true }

// WriteTo passes the body on, each part as soon as it is here.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if b.length >= 0 {
		w = b.e.client // the server's writer would keep small parts back until there are more
	}
	total := int64(0)
	for {
		if !b.whole && !b.e.c.readable() {
			_, _ = b.e.c.in.Peek(1) // wait without a buffer, of which there may be thousands; Read tells what is wrong
		}
		n, err := b.pass(w)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// pass passes on what is here.
func (b *body) pass(w io.Writer) (written int, err error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	n, err := b.fill(*buffer)
	if n > 0 {
		if err := b.e.client.SetWriteDeadline(time.Now().Add(b.e.p.options.BodyTimeout)); err != nil {
			return 0, err
		}
		if written, err := w.Write((*buffer)[:n]); err != nil {
			return written, err
		}
	}
	return n, err
}

// fill reads as much as is here, or waits for something: many small parts would cost as many writes.
func (b *body) fill(space []byte) (n int, err error) {
	for n < len(space) && err == nil && (n == 0 || b.length != chunked && b.e.c.readable()) {
		var m int
		m, err = b.Read(space[n:])
		n += m
	}
	return n, err
}

// Read reads from the upstream.
func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.whole:
		return 0, io.EOF
	case b.err != nil:
		return 0, b.err
	case b.length == chunked:
		if n, err = b.chunks.Read(p); err == io.EOF {
			err = b.trailers()
		}
	case b.length == none:
		n, err = b.e.c.in.Read(p)
	default:
		n, err = b.e.c.in.Read(p[:min(len(p), b.left)])
		if b.left -= n; b.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	b.whole = err == io.EOF
	if err != nil && err != io.EOF {
		b.err = b.e.c.because(err)
		return n, b.err
	}
	return n, err
}

// trailers reads what follows the last chunk; the server writes it after its own.
func (b *body) trailers() error {
	switch err := b.e.ctx.Response.Header.ReadTrailer(b.e.c.in); err {
	case nil:
		return io.EOF
	case io.EOF:
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

// Close is called by the server when the response was written, or when that failed.
func (b *body) Close() error {
	if b.e == nil {
		return nil
	}
	e := b.e
	b.e = nil
	if b.err != nil {
		e.p.brokenOff(e, b.err)
	}
	e.finish(b.whole)
	return b.err
}

// brokenOff notes that a response was begun and cannot be ended. Where only the end of the connection would tell the
// client, and look like a good end, the connection is reset.
func (p *Proxy) brokenOff(e *exchange, err error) {
	var f *failure
	reason := "broken_off"
	if errors.As(err, &f) {
		reason = f.reason
	}
	p.metrics.failures.WithLabelValues(reason).Inc()
	event := p.log.Warn()
	if reason == errGone.reason {
		event = p.log.Debug()
	}
	event.Err(err).Str("cid", e.cid).Str("reason", reason).Msg("a response was broken off")
	if c, ok := innermost(e.client).(*net.TCPConn); ok && !e.ctx.Request.Header.IsHTTP11() {
		_ = c.SetLinger(0)
	}
}
