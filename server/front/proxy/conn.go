package proxy

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// While we wait for the upstream, we look around: at first soon, later less often.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// lookout is asked while a read waits.
type lookout interface {
	// look says when to look again at a wait that has taken so long, at the latest, or why it must end.
	look(waited time.Duration) (time.Duration, error)
}

// upstreamConn is a connection to the upstream. It carries one exchange at a time.
type upstreamConn struct {
	net.Conn
	raw     syscall.RawConn
	in      *bufio.Reader // reads by upstreamConn.Read
	used    bool          // it has carried an exchange before
	got     int           // bytes read of the present exchange
	lookout lookout       // of the present exchange
	idle    time.Time

	cause   atomic.Pointer[error] // why we broke it
	peek    func(fd uintptr)
	peekN   int // answers of the last peek
	peekErr error
	peeked  [1]byte
}

func newUpstreamConn(c net.Conn, headerBytes int) (*upstreamConn, error) {
	u := &upstreamConn{Conn: c}
	u.in = bufio.NewReaderSize(u, headerBytes)
	u.peek = func(fd uintptr) {
		u.peekN, _, u.peekErr = unix.Recvfrom(int(fd), u.peeked[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	}
	tcp, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("the connection is no socket")
	}
	raw, err := tcp.SyscallConn()
	u.raw = raw
	return u, err
}

// Read waits for as long as the lookout finds it worth waiting.
func (u *upstreamConn) Read(p []byte) (int, error) {
	start := time.Now()
	tick, waited := firstLook, time.Duration(0)
	for {
		if err := u.Conn.SetReadDeadline(start.Add(waited + tick)); err != nil {
			return 0, u.because(err)
		}
		n, err := u.Conn.Read(p)
		u.got += n
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, u.because(err)
		}
		waited = time.Since(start)
		more, err := u.lookout.look(waited)
		if err != nil {
			u.interrupt(err)
			return 0, u.because(err)
		}
		tick = min(2*tick, max(more, time.Millisecond))
	}
}

// interrupt breaks the connection. Whoever waits for it gets the reason, unless there was one before.
func (u *upstreamConn) interrupt(reason error) {
	u.cause.CompareAndSwap(nil, &reason)
	_ = u.Close()
}

// because is the reason for an error, if we brought it about.
func (u *upstreamConn) because(err error) error {
	if cause := u.cause.Load(); err != nil && cause != nil {
		return *cause
	}
	return err
}

// usable says whether an unused connection has neither been closed by the upstream nor got what nobody asked for.
func (u *upstreamConn) usable() bool {
	return u.in.Buffered() == 0 && u.raw.Control(u.peek) == nil && u.peekErr == unix.EAGAIN
}

// readable says whether a read would not have to wait.
func (u *upstreamConn) readable() bool {
	return u.in.Buffered() > 0 || u.raw.Control(u.peek) == nil && u.peekN > 0 && u.peekErr == nil
}

// socket looks at a client's connection without taking anything from it.
type socket struct{ raw syscall.RawConn }

// socketOf is zero, and knows nothing, for a connection that is none.
func socketOf(c net.Conn) socket {
	s, ok := innermost(c).(syscall.Conn)
	if !ok {
		return socket{}
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return socket{}
	}
	return socket{raw}
}

func (s socket) peek() (n int, err error) {
	var b [1]byte
	controlled := s.raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return n, errors.Join(controlled, err)
}

// readable says whether a read would not have to wait.
func (s socket) readable() bool {
	if s.raw == nil {
		return false
	}
	n, err := s.peek()
	return n > 0 && err == nil
}

// ended says whether the client has closed its connection. Who has only closed its sending side counts too, as with
// other proxies.
func (s socket) ended() bool {
	if s.raw == nil {
		return false
	}
	n, err := s.peek()
	return n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
}

// innermost is the socket below the layers that servers put around it.
func innermost(c net.Conn) net.Conn {
	for {
		below := layerBelow(c)
		if below == nil {
			return c
		}
		c = below
	}
}

func layerBelow(c net.Conn) net.Conn {
	switch layer := c.(type) {
	case interface{ NetConn() net.Conn }:
		return layer.NetConn()
	case interface{ UnsafeConn() net.Conn }:
		return layer.UnsafeConn()
	default:
		return nil
	}
}
