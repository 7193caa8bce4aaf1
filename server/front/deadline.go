package front

import (
	"errors"
	"os"
	"sync"
	"time"
)

// deadline is when a connection's reads, or writes, must end. The server moves it three times for each request, nearly
// always to later, and to move a socket's own costs more than the rest of what we do for a small one. So the socket's is
// left where it is when it is sooner; once it has passed, it is moved to what was asked for last, and the socket tried
// again.
type deadline struct {
	every time.Duration // the socket's passes as often as that at least; 0: never before it must

	mu     sync.Mutex
	asked  time.Time // zero: none
	socket time.Time // the one that the socket has; never after the one asked for
}

// move makes it end then. It may be called while somebody waits.
func (d *deadline) move(to time.Time, set func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = to
	if d.socket.IsZero() && to.IsZero() || !d.socket.IsZero() && (to.IsZero() || !to.Before(d.socket)) {
		return nil
	}
	return d.moveSocket(set)
}

func (d *deadline) moveSocket(set func(time.Time) error) error {
	d.socket = d.asked
	if tick := time.Now().Add(d.every); d.every > 0 && (d.asked.IsZero() || tick.Before(d.asked)) {
		d.socket = tick
	}
	return set(d.socket)
}

// early says whether an error is only the socket's deadline, which has passed before the one asked for, and moves it.
func (d *deadline) early(err error, set func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.asked.IsZero() && !time.Now().Before(d.asked) {
		return false
	}
	return d.moveSocket(set) == nil
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err == nil || n > 0 || !c.reads.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
		if c.tires() {
			return 0, errResting
		}
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (written int, err error) {
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		if err == nil || !c.writes.early(err, c.Conn.SetWriteDeadline) {
			return written, err
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.reads.move(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writes.move(t, c.Conn.SetWriteDeadline) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
