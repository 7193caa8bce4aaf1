package rabbitmq

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between us and the broker, and can be down, or freeze what goes through it. While it is down it still
// accepts, and hangs up at once.
type proxy struct {
	address string
	target  string

	mu       sync.Mutex
	isDown   bool
	open     map[net.Conn]bool
	frozen   chan struct{} // not nil while nothing passes; closed when it passes again
	running  sync.WaitGroup
	listener net.Listener
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{address: listener.Addr().String(), target: target, open: map[net.Conn]bool{}, listener: listener}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		p.listener.Close()
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

func (p *proxy) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown = false
}

// down cuts what is open.
func (p *proxy) down() {
	p.thaw()
	p.mu.Lock()
	p.isDown = true
	p.mu.Unlock()
	p.cut()
}

// cut ends what is open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

// freeze lets nothing pass any more, without a word.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *proxy) enter(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	if p.isDown {
		c.Close()
	}
}

func (p *proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}

func (p *proxy) pass(client net.Conn) {
	p.enter(client)
	defer p.leave(client)
	broker, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.enter(broker)
	defer p.leave(broker)
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: broker, broker: client} {
		both.Go(func() {
			defer to.Close()
			_, _ = io.Copy(gate{p, to}, from)
		})
	}
	both.Wait()
}

// gate writes while nothing is frozen.
type gate struct {
	p  *proxy
	to io.Writer
}

func (g gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	frozen := g.p.frozen
	g.p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return g.to.Write(b)
}
