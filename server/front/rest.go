package front

import (
	"errors"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A connection between two requests holds buffers and the stack of a goroutine that has served one: 17 to 30 KB. One that
// stays idle is put to rest: it gives them back, and a small goroutine waits for it to be readable. Behind a load
// balancer most connections are idle at any time.
//
// The server does not know. To it the connection has ended and was closed; another one, on the same socket, comes in
// with the next request.

// restTick is how often a connection looks whether it has had a request since; the second time it has not, it rests.
const restTick = 250 * time.Millisecond

// Memory is given back to the system when so many connections went to rest, a moment later: an idle process would keep it
// for minutes.
const (
	manyResting = 1000
	tidyAfter   = time.Second
)

var errResting = errors.New("the connection is put to rest")

// resting are the connections at rest.
type resting struct {
	resume func(net.Conn) // serves one that has a request again

	mu      sync.Mutex
	sockets map[*conn]struct{}
	untidy  int         // have come since the memory was given back
	tidy    *time.Timer // nil before the first time
	stopped bool
	live    sync.WaitGroup // a count for each, also while it is served again
}

// between says whether a connection waits for its next request. The server tells.
func (c *conn) between(is bool) {
	c.idle, c.ticked = is, false
}

// tires says at each tick whether a connection is to be put to rest.
func (c *conn) tires() bool {
	if !c.idle || c.listener.resting == nil {
		return false
	}
	if !c.ticked {
		c.ticked = true
		return false
	}
	_, socket := c.Conn.(syscall.Conn)
	c.leaving.Store(socket)
	return socket
}

// put puts a connection, which the server has done with, to rest. It returns false if nothing may rest any more.
func (r *resting) put(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	next := &conn{Conn: c.Conn, listener: c.listener}
	next.reads.asked, next.reads.every = c.reads.asked, restTick
	next.writes.asked, next.writes.socket = c.writes.asked, c.writes.socket
	if r.sockets == nil {
		r.sockets = map[*conn]struct{}{}
	}
	r.sockets[next] = struct{}{}
	if r.untidy++; r.untidy == manyResting {
		r.tidyLater()
	}
	r.live.Add(1)
	go r.wait(next)
	return true
}

func (r *resting) tidyLater() {
	if r.tidy != nil {
		r.tidy.Reset(tidyAfter)
		return
	}
	r.tidy = time.AfterFunc(tidyAfter, func() {
		runtime.GC() // what is in pools outlives one collection
		debug.FreeOSMemory()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.untidy = 0
	})
}

// wait waits for the next request and has it served, or for the end of the connection.
func (r *resting) wait(c *conn) {
	defer r.live.Done()
	wakes := c.wakes()
	r.mu.Lock()
	delete(r.sockets, c)
	wakes = wakes && !r.stopped
	r.mu.Unlock()
	if wakes {
		r.resume(c)
	} else {
		_ = c.Close()
	}
}

// wakes waits until there is something to read, and says whether that is more than the connection's end.
func (c *conn) wakes() bool {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil || c.Conn.SetReadDeadline(c.reads.asked) != nil {
		return false
	}
	c.reads.socket = c.reads.asked
	var n int
	var got error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, got = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EINTR)
	})
	return err == nil && got == nil && n > 0
}

// stop closes those at rest. None comes after it.
func (r *resting) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.tidy != nil {
		r.tidy.Stop()
	}
	for c := range r.sockets {
		_ = c.Close()
	}
}

func (r *resting) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sockets)
}
