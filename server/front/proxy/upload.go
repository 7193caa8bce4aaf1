package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any {
	b := make([]byte, bufferSize)
	return &b
}}

// How long an upload may still take when its response has begun, to count as having ended before it: if the client is
// still sending, and if only the last part is on its way to the application.
const (
	sendingGrace = 5 * time.Millisecond
	lastGrace    = time.Second
)

// upload sends a request's body while its response is waited for.
type upload struct {
	e      *exchange
	known  bool        // the length is
	socket socket      // of the client
	left   int64       // of the body, if its length is known
	came   atomic.Bool // the whole body

	done chan struct{}
	// What follows may be read when done is closed.
	err error
	end time.Time
}

// startUpload begins to send a request whose head is at the beginning of the buffer, and takes the buffer.
func startUpload(e *exchange, buffer *[]byte, head int) *upload {
	u := &upload{e: e, done: make(chan struct{}), known: e.head.length >= 0, left: int64(e.head.length), socket: socketOf(e.client)}
	go u.run(buffer, head)
	return u
}

func (u *upload) run(buffer *[]byte, head int) {
	defer close(u.done)
	defer buffers.Put(buffer)
	if u.known {
		u.err = u.copy(*buffer, head)
	} else {
		u.err = u.copyChunks(*buffer, head)
	}
	if u.err == nil {
		u.err = u.e.c.SetWriteDeadline(time.Time{})
	}
	u.end = time.Now()
	var fault *failure
	if errors.As(u.err, &fault) {
		u.e.c.interrupt(fault) // the upstream must not take what it has for the whole
	}
	// An upstream that takes no more may have answered already: that is for the reader to see.
}

// copy sends the head and a body of known length. The server has read the beginning of that, so the head need not go
// alone. What is wrong with the client comes as a failure, what with the upstream as another error.
func (u *upload) copy(buffer []byte, head int) error {
	for u.left > 0 {
		n, err := u.fill(buffer[head:])
		if n > 0 {
			if err := u.write(buffer[:head+n]); err != nil {
				return err
			}
			head = 0
		}
		switch {
		case err == io.EOF && u.left > 0:
			return clientFault(io.ErrUnexpectedEOF)
		case err != nil && err != io.EOF:
			return clientFault(err)
		}
	}
	return nil
}

// fill reads as much as is here, or waits for something: many small parts would cost as many writes.
func (u *upload) fill(space []byte) (n int, err error) {
	for u.left > 0 && n < len(space) && err == nil && (n == 0 || u.socket.readable()) {
		var m int
		m, err = u.read(space[n:min(int64(len(space)), int64(n)+u.left)])
		n += m
	}
	return n, err
}

// sizeRoom is what the size of a chunk and its line's end take.
const sizeRoom = 10

// copyChunks sends the head and a body of unknown length, of which there may be nothing yet.
func (u *upload) copyChunks(buffer []byte, head int) error {
	if err := u.write(buffer[:head]); err != nil {
		return err
	}
	for {
		n, err := u.read(buffer[sizeRoom : len(buffer)-2])
		if n > 0 {
			if err := u.write(chunk(buffer, n)); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case err != io.EOF:
			return clientFault(err)
		case u.socket.ended(): // fasthttp takes the end of the connection, between two chunks, for the end of the body
			return clientFault(io.ErrUnexpectedEOF)
		default:
			return u.write(append(append(buffer[:0], "0\r\n"...), u.e.ctx.Request.Header.TrailerHeader()...))
		}
	}
}

// chunk frames n bytes of the buffer, from sizeRoom on.
func chunk(buffer []byte, n int) []byte {
	begin := sizeRoom - 2
	copy(buffer[begin:], "\r\n")
	for size := n; size > 0; size >>= 4 {
		begin--
		buffer[begin] = "0123456789abcdef"[size&15]
	}
	return append(buffer[begin:sizeRoom+n], "\r\n"...)
}

func (u *upload) read(buffer []byte) (int, error) {
	if err := u.e.client.SetReadDeadline(time.Now().Add(u.e.p.options.BodyTimeout)); err != nil {
		return 0, err
	}
	n, err := u.e.ctx.Request.BodyStream().Read(buffer)
	u.left -= int64(n)
	if err == io.EOF || u.known && u.left == 0 {
		u.came.Store(true)
	}
	return n, err
}

// write passes a part on at once: what comes slowly may be waited for.
func (u *upload) write(part []byte) error {
	if err := u.e.c.SetWriteDeadline(time.Now().Add(u.e.p.options.BodyTimeout)); err != nil {
		return err
	}
	_, err := u.e.c.Write(part)
	return err
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
	grace := sendingGrace
	if u.came.Load() {
		grace = lastGrace
	}
	timer := time.NewTimer(grace)
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
