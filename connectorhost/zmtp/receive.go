package zmtp

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-zeromq/zmq4"
)

// Receive returns the frames of the next message; there is at least one. After Close it returns what had been taken in,
// and then [ErrClosed].
func (s *Socket) Receive(ctx context.Context) ([][]byte, error) {
	if !s.options.Type.receives() {
		return nil, fmt.Errorf("zeromq socket: a %s socket receives nothing", s.options.Type)
	}
	return s.inbox.take(ctx)
}

// receive is the life of a peer of a PULL or SUB.
func (p *peer) receive() error {
	s := p.socket
	if s.options.Type == Sub {
		if err := p.write(s.options.HandshakeTimeout, p.subscribe); err != nil {
			return err
		}
	}
	return p.read(func(message [][]byte) error {
		if s.options.Type == Sub && !s.wanted(message[0]) {
			return nil
		}
		s.counts.received.Add(1)
		s.counts.receivedBytes.Add(size(message))
		s.inbox.put(message)
		return nil
	}, ignore)
}

// subscribe asks for what the socket wants, in the form that also publishers before ZMTP 3.1 know.
func (p *peer) subscribe(library *zmq4.Conn) error {
	for _, key := range p.socket.options.SubKeys {
		if err := library.SendMsg(zmq4.NewMsg(append([]byte{1}, key...))); err != nil {
			return err
		}
	}
	return nil
}

// wanted says whether a message begins with a key. Publishers filter too, but need not.
func (s *Socket) wanted(first []byte) bool {
	for _, key := range s.options.SubKeys {
		if bytes.HasPrefix(first, []byte(key)) {
			return true
		}
	}
	return false
}
