package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any {
	b := make([]byte, bufferSize)
	return &b
}}

// endGrace is how long an upload may still take when its response has begun, to count as having ended before it.
const endGrace = 5 * time.Millisecond

// upload sends a request's body while its response is waited for.
type upload struct {
	e     *exchange
	known bool  // the length is
	left  int64 // of the body if its length is known, else what the limit leaves

	done chan struct{}
	// What follows may be read when done is closed.
	err error
	end time.Time
}

func tooLarge() *failure {
	return &failure{fasthttp.StatusRequestEntityTooLarge, "too_large", "the request body is too large", nil}
}

func startUpload(e *exchange) *upload {
	u := &upload{e: e, done: make(chan struct{}), known: e.head.length >= 0, left: int64(e.head.length)}
	if !u.known {
		u.left = e.p.options.BodyBytes
	}
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.done)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	if u.err = u.e.c.out.Flush(); u.err == nil { // the application may answer before there is any body
		u.err = u.copy(*buffer)
	}
	if u.err == nil {
		u.err = u.e.c.out.Flush()
	}
	u.end = time.Now()
	var fault *failure
	if errors.As(u.err, &fault) {
		u.e.c.interrupt(fault) // the upstream must not take what it has for the whole
	}
	// An upstream that takes no more may have answered already: that is for the reader to see.
}

// copy sends the whole body. What is wrong with the client comes as a failure, what with the upstream as another error.
func (u *upload) copy(buffer []byte) error {
	body, header := u.e.ctx.Request.BodyStream(), &u.e.ctx.Request.Header
	for {
		n, err := u.read(body, buffer)
		if n > 0 {
			if errWrite := u.write(buffer[:n]); errWrite != nil {
				return errWrite
			}
		}
		switch {
		case err == nil:
			continue
		case err != io.EOF:
			return clientFault(err)
		case u.known && u.left > 0:
			return clientFault(io.ErrUnexpectedEOF)
		case u.known:
			return nil
		case gone(u.e.client): // fasthttp takes the end of the connection, between two chunks, for the end of the body
			return clientFault(io.ErrUnexpectedEOF)
		}
		_, _ = u.e.c.out.WriteString("0\r\n")
		_, err = u.e.c.out.Write(header.TrailerHeader())
		return err
	}
}

func (u *upload) read(body io.Reader, buffer []byte) (int, error) {
	if err := u.e.client.SetReadDeadline(time.Now().Add(u.e.p.options.BodyTimeout)); err != nil {
		return 0, err
	}
	n, err := body.Read(buffer)
	limited := u.known || u.e.p.options.BodyBytes > 0
	if u.left -= int64(n); limited && u.left < 0 {
		return 0, tooLarge()
	}
	return n, err
}

// write passes a part of the body on at once: what comes slowly may be waited for.
func (u *upload) write(part []byte) error {
	c := u.e.c
	if err := c.SetWriteDeadline(time.Now().Add(u.e.p.options.BodyTimeout)); err != nil {
		return err
	}
	if u.known {
		_, err := c.out.Write(part)
		if err == nil && u.left > 0 {
			err = c.out.Flush()
		}
		return err
	}
	_, _ = fmt.Fprintf(c.out, "%x\r\n", len(part))
	_, _ = c.out.Write(part)
	_, _ = c.out.WriteString("\r\n")
	return c.out.Flush()
}

func clientFault(err error) error {
	var known *failure
	var network net.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &network) && network.Timeout():
		return &failure{fasthttp.StatusRequestTimeout, "client_timeout", "the request did not arrive in time", err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &network):
		return &failure{statusGone, "client_gone", errGone.details, err}
	default:
		return badRequest(err)
	}
}

func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

func (u *upload) endsSoon() bool {
	timer := time.NewTimer(endGrace)
	defer timer.Stop()
	select {
	case <-u.done:
		return u.err == nil
	case <-timer.C:
		return false
	}
}

// stop ends the upload, if it has not ended, and says whether all of the body has been sent. The server may use the
// client's connection again only after that.
func (u *upload) stop() bool {
	if !u.ended() {
		u.e.c.interrupt(errGone)
		_ = u.e.client.SetReadDeadline(time.Unix(1, 0))
		<-u.done
	}
	return u.err == nil
}
