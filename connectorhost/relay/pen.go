package relay

import (
	"net"
	"sync"
	"time"
)

const (
	// writeTime is how long the other side may take to read a piece; then it is taken for dead.
	writeTime = 10 * time.Second
	piece     = 1 << 20
	kept      = 256 << 10 // bytes of a buffer that is used again
)

// pen writes frames to a connection in the order in which they are given. Nobody waits for the other side to read: what
// comes meanwhile is written in one go afterwards. It may be used concurrently.
type pen struct {
	connection net.Conn

	mu      sync.Mutex
	pending []byte
	busy    bool // something that was pending is being written
	stopped bool
	wake    chan struct{} // has room for one
	idle    chan struct{} // not nil if somebody waits until all is written, and closed then
}

func newPen(connection net.Conn) *pen {
	return &pen{connection: connection, wake: make(chan struct{}, 1)}
}

// put has a frame written. It says whether there is somebody who writes.
func (p *pen) put(frame func(to []byte) []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return false
	}
	p.pending = frame(p.pending)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return true
}

// run writes until the connection fails or ended is closed.
func (p *pen) run(ended <-chan struct{}) error {
	var spare []byte
	for {
		select {
		case <-p.wake:
		case <-ended:
			p.stop()
			return nil
		}
		p.mu.Lock()
		batch := p.pending
		p.pending, p.busy = spare[:0], true
		p.mu.Unlock()
		if err := p.write(batch); err != nil {
			p.stop()
			return err
		}
		if spare = batch; cap(spare) > kept {
			spare = nil
		}
		p.mu.Lock()
		p.busy = false
		p.told()
		p.mu.Unlock()
	}
}

func (p *pen) write(batch []byte) error {
	for len(batch) > 0 {
		if err := p.connection.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		n, err := p.connection.Write(batch[:min(len(batch), piece)])
		if err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (p *pen) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending, p.busy, p.stopped = nil, false, true
	p.told()
}

// written returns what is closed when all that was put is written, or never will be.
func (p *pen) written() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.told()
	return idle
}

// told tells whoever waits that nothing is left to write, if that is so. The caller has the lock.
func (p *pen) told() {
	if p.idle != nil && len(p.pending) == 0 && !p.busy {
		close(p.idle)
		p.idle = nil
	}
}
