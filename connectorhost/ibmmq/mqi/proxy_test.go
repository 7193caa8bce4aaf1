//go:build ibmmq && cgo

package mqi

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between us and a queue manager that cannot be stopped. While it is down it accepts, and hangs up at once.
type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	isDown  bool
	open    map[net.Conn]bool
	running sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: listener, target: target, open: map[net.Conn]bool{}}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		listener.Close()
		p.down()
		p.running.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(client) })
	}
}

func (p *proxy) pass(client net.Conn) {
	defer p.leave(client)
	if !p.enter(client) {
		return
	}
	manager, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.leave(manager)
	if !p.enter(manager) {
		return
	}
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: manager, manager: client} {
		both.Go(func() {
			defer to.Close()
			_, _ = io.Copy(to, from)
		})
	}
	both.Wait()
}

func (p *proxy) enter(c net.Conn) (up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.isDown
}

func (p *proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}

func (p *proxy) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown = false
}

func (p *proxy) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown = true
	for c := range p.open {
		c.Close()
	}
}
