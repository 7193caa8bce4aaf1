package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

var (
	errBusy    = errors.New("all connections to the application are in use")
	errStopped = errors.New("the proxy is closed")
)

// pool bounds the connections to the upstream and keeps those that nobody uses for a while. The one that was put back
// last is used first, so that the others can grow old.
type pool struct {
	dial        func(ctx context.Context) (net.Conn, error)
	headerBytes int
	wait        time.Duration // for a connection, when all are in use
	idleTimeout time.Duration
	slots       chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*upstreamConn            // by age, the oldest first
	open   map[*upstreamConn]struct{} // those and the ones in use
	reaper *time.Timer                // runs while there are idle ones
	closed bool
}

// take waits for a slot, which must be given back by drop or keep.
func (p *pool) take() error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return errBusy
	}
}

// get is an idle connection, or else a new one. Who calls it has a slot.
func (p *pool) get(ctx context.Context, fresh bool) (*upstreamConn, error) {
	for !fresh {
		c := p.pop()
		if c == nil {
			break
		}
		if c.usable() {
			return c, nil
		}
		p.forget(c)
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newUpstreamConn(conn, p.headerBytes)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return nil, errStopped
	}
	p.open[c] = struct{}{}
	return c, nil
}

func (p *pool) pop() *upstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle[len(p.idle)-1] = nil
	p.idle = p.idle[:len(p.idle)-1]
	return c
}

// forget closes a connection; its slot stays taken.
func (p *pool) forget(c *upstreamConn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// drop closes a connection and gives its slot back.
func (p *pool) drop(c *upstreamConn) {
	p.forget(c)
	<-p.slots
}

// keep puts a connection back and gives its slot back.
func (p *pool) keep(c *upstreamConn) {
	c.used, c.got, c.lookout, c.idle = true, 0, nil, time.Now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.drop(c)
		return
	}
	p.idle = append(p.idle, c)
	if len(p.idle) == 1 {
		p.reapIn(p.idleTimeout)
	}
	p.mu.Unlock()
	<-p.slots
}

func (p *pool) reapIn(d time.Duration) {
	if p.reaper == nil {
		p.reaper = time.AfterFunc(d, p.reap)
		return
	}
	p.reaper.Reset(d)
}

// reap closes what has been idle for too long.
func (p *pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].idle) >= p.idleTimeout {
		_ = p.idle[old].Close()
		delete(p.open, p.idle[old])
		old++
	}
	p.idle = append(p.idle[:0], p.idle[old:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
	if len(p.idle) > 0 && !p.closed {
		p.reapIn(max(p.idleTimeout-time.Since(p.idle[0].idle), time.Millisecond))
	}
}

// close ends all connections, also those in use.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	for _, c := range p.idle {
		delete(p.open, c)
		_ = c.Close()
	}
	p.idle = nil
	for c := range p.open {
		c.interrupt(errStopped)
	}
}

func (p *pool) counts() (active, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open) - len(p.idle), len(p.idle)
}
