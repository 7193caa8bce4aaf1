package zmtp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	// maxPending is how many connections may be shaking hands. One more ends the oldest: a peer that means it needs a
	// round trip or two, so that a flood of idle connections does not keep it out.
	maxPending = 256
	// acceptRetry is how long accepting rests when it failed, mostly for want of file descriptors.
	acceptRetry = 50 * time.Millisecond
)

// keepAlive finds out within half a minute that a peer's machine is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// pending are the connections that are shaking hands, the oldest first.
type pending struct {
	mu    sync.Mutex
	conns []net.Conn
}

// add takes a connection in, and pushes out the oldest if there are too many.
func (p *pending) add(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conn)
	if len(p.conns) > maxPending {
		_ = p.conns[0].Close()
		p.conns = append(p.conns[:0], p.conns[1:]...)
	}
}

func (p *pending) remove(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.conns {
		if c == conn {
			p.conns = append(p.conns[:i], p.conns[i+1:]...)
			return
		}
	}
}

func (p *pending) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

// accept takes connections until the listener is closed. Each has a goroutine from its first byte on.
func (s *Socket) accept() {
	defer s.pending.closeAll()
	for {
		conn, err := s.listener.Accept()
		switch {
		case s.gone():
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil:
			s.report(s.options.Addresses[0], broken("accept", err))
			if !s.pause(acceptRetry) {
				return
			}
			continue
		}
		s.pending.add(conn)
		s.members.Go(func() { s.receiveGuest(conn) })
	}
}

// receiveGuest is the life of a connection that came in.
func (s *Socket) receiveGuest(conn net.Conn) {
	defer conn.Close()
	address := conn.RemoteAddr().String()
	setKeepAlive(conn)
	p, err := s.greet(conn, true)
	s.pending.remove(conn)
	if err != nil {
		if errors.Is(err, net.ErrClosed) && !s.gone() {
			err = faultf(Crowded, "more than %d connections are shaking hands, and this is the oldest", maxPending)
		}
		s.counts.refused.Add(1)
		s.report(address, err)
		return
	}
	s.report(address, s.serve(p))
}

func setKeepAlive(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive)
	}
}

// keepConnected connects to an address, again and again, until the socket is closed.
func (s *Socket) keepConnected(address string) {
	delay := time.Duration(0)
	for !s.gone() {
		connected, err := s.visit(address)
		if s.gone() {
			return
		}
		s.setTrouble(address, err.Error())
		s.report(address, err)
		if delay = min(2*delay, s.options.RetryMax); connected || delay == 0 {
			delay = s.options.RetryMin
		}
		// Spread, so that the peers of one that restarts do not come all at once.
		if !s.pause(delay/2 + rand.N(delay/2+1)) {
			return
		}
	}
}

// visit connects once and stays until the connection ends.
func (s *Socket) visit(address string) (connected bool, err error) {
	ctx, cancel := context.WithTimeout(s.staying, s.options.HandshakeTimeout)
	defer cancel()
	target, _ := hostPort(address, Connect)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return false, &fault{Left, "connect", err}
	}
	defer conn.Close()
	setKeepAlive(conn)
	stop := context.AfterFunc(s.staying, func() { _ = conn.Close() })
	p, err := s.greet(conn, false)
	if !stop() {
		return false, errClosing
	}
	if err != nil {
		s.counts.refused.Add(1)
		return false, err
	}
	s.setTrouble(address, "")
	return true, s.serve(p)
}
