package front

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	lingerTime  = 500 * time.Millisecond // a client that reads its answer needs no more
	lingerBytes = 1 << 20
	acceptRetry = 50 * time.Millisecond
)

// listener bounds the number of open connections. One over the limit is accepted, told so and closed: left in the
// kernel's queue, its client would wait for an answer that may take for ever.
type listener struct {
	net.Listener
	limit    int
	overload func() []byte // the response to a connection over the limit
	private  bool          // for connectors only
	resting  *resting      // nil: none of its connections ever rests
	open     atomic.Int64
	closing  sync.Once
	closed   chan struct{}
}

func newListener(inner net.Listener, limit int, overload func() []byte) *listener {
	return &listener{Listener: inner, limit: limit, overload: overload, closed: make(chan struct{})}
}

// Accept returns the next connection within the limit. It outlives a shortage of file descriptors.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		switch {
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			select {
			case <-l.closed:
			case <-time.After(acceptRetry):
			}
		case err != nil:
			return nil, err
		case l.open.Add(1) <= int64(l.limit):
			c := &conn{Conn: accepted, listener: l}
			c.reads.every = restTick
			return c, nil
		default:
			l.open.Add(-1)
			// It fits into the socket's empty buffer, so neither can this wait nor is there anyone to tell of an error.
			_ = accepted.SetWriteDeadline(time.Now().Add(lingerTime))
			_, _ = accepted.Write(l.overload())
			_ = accepted.Close()
		}
	}
}

func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// listeners are those that a front has begun to serve, until it shuts down. fasthttp knows of a listener only some time
// after it was told to serve it, and would serve for ever one that it comes to know after its shutdown.
type listeners struct {
	mu     sync.Mutex
	all    []net.Listener
	closed bool
}

// add says whether the listener is to be served.
func (l *listeners) add(one net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, one)
	return !l.closed
}

func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, one := range l.all {
		_ = one.Close() // most are closed
	}
}

// conn is an accepted connection that counts towards the limit until it is closed.
type conn struct {
	net.Conn
	listener *listener
	closing  sync.Once
	linger   atomic.Bool
	reads    deadline
	writes   deadline

	idle, ticked bool        // see tires; of the goroutine that serves the connection
	leaving      atomic.Bool // to rest, when it is closed
	left         atomic.Bool // the socket is another's now
}

// lingerOnClose makes Close wait until the client has had time to read its answer. A socket that is closed with
// unread input is reset, and a reset makes the client's kernel forget the answer that it has not read yet: the client
// of a refused upload would see a broken connection, not status 413.
func lingerOnClose(c net.Conn) {
	if c, ours := c.(*conn); ours {
		c.linger.Store(true)
	}
}

// Close closes the connection, or puts it to rest if that was why its last read failed.
func (c *conn) Close() error {
	if c.left.Load() {
		return nil
	}
	if c.leaving.Swap(false) && c.listener.resting.put(c) {
		c.left.Store(true)
		return nil
	}
	c.closing.Do(func() { c.listener.open.Add(-1) })
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c, lingerBytes) // whichever comes first, the end or the deadline
		}
	}
	return c.Conn.Close()
}
