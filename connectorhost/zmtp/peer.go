package zmtp

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"
)

// peer is one connection after its handshake.
type peer struct {
	socket  *Socket
	address string
	conn    net.Conn
	gate    *gate
	in      *reader

	slot chan *job   // of a PUSH: the next in turn for this peer
	free atomic.Bool // the slot may be filled

	gone  chan struct{} // closed when the connection is given up
	once  sync.Once
	cause error // why, once gone is closed

	writing sync.Mutex // guards what follows
	library *zmq4.Conn
}

// greet shakes hands over a new connection, within the socket's time.
func (s *Socket) greet(conn net.Conn, listening bool) (*peer, error) {
	if err := conn.SetDeadline(time.Now().Add(s.options.HandshakeTimeout)); err != nil {
		return nil, broken("handshake", err)
	}
	g := newGate(conn, s.options.Type)
	library, err := g.open(listening)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, broken("handshake", err)
	}
	p := &peer{
		socket: s, address: conn.RemoteAddr().String(), conn: conn, gate: g, library: library,
		slot: make(chan *job, 1), gone: make(chan struct{}),
	}
	p.in = &reader{in: g.in, max: s.options.MaxMessageBytes, unfinished: p.unfinished}
	return p, nil
}

// drop ends the connection; the first cause counts.
func (p *peer) drop(cause error) {
	p.once.Do(func() {
		p.cause = cause
		close(p.gone)
		_ = p.conn.Close()
	})
}

// unfinished bounds the time of a message that has begun, and what is held of such messages. One that is large waits in
// the connection while the inbox is full: else each peer could have us hold one that is complete.
func (p *peer) unfinished(held int64) {
	if !p.in.open {
		_ = p.conn.SetReadDeadline(time.Time{})
		p.socket.memory.end(p)
		return
	}
	waited := held > 0 && p.socket.inbox.awaitRoom()
	if p.socket.memory.hold(p, held) || waited {
		_ = p.conn.SetReadDeadline(time.Now().Add(p.socket.options.MessageTimeout))
	}
}

// write lets f write by the library, and sends it. The error says that the connection is of no use any more.
func (p *peer) write(patience time.Duration, f func(*zmq4.Conn) error) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.gate.patience = patience
	err := f(p.library)
	if err == nil {
		err = p.gate.out.Flush()
	}
	if err != nil {
		return broken("write", err)
	}
	return nil
}

// The name of a PING is followed by how long the peer should wait for the next, here for ever.
var noTimeToLive = []byte{0, 0}

// command handles a command that any peer may send; one for a type of socket goes to own.
func (p *peer) command(cmd *command, own func(*command) error) error {
	switch cmd.name {
	case zmq4.CmdPing:
		if len(cmd.body) < len(noTimeToLive) || len(cmd.body) > len(noTimeToLive)+16 {
			return faultf(Protocol, "a PING has %d bytes", len(cmd.body))
		}
		context := cmd.body[len(noTimeToLive):]
		// A peer that asks and does not listen for the answer is not waited for long.
		return p.write(p.socket.options.HandshakeTimeout, func(c *zmq4.Conn) error { return c.SendCmd(zmq4.CmdPong, context) })
	case zmq4.CmdError:
		return faultf(Left, "the peer reports an error: %.200q", cmd.body)
	}
	return own(cmd)
}

// read takes what the peer sends, until the connection ends.
func (p *peer) read(message func([][]byte) error, own func(*command) error) error {
	defer p.socket.memory.end(p)
	for {
		parts, cmd, err := p.in.next()
		if err != nil {
			return broken("message", err)
		}
		if cmd != nil {
			err = p.command(cmd, own)
		} else {
			err = message(parts)
		}
		if err != nil {
			return err
		}
	}
}

// ignore is for commands that mean nothing to a socket.
func ignore(*command) error { return nil }
