package conformance

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between us and a broker that cannot be stopped, and can be down, or freeze what goes through it. While it
// is down it still accepts, and hangs up at once.
type Proxy struct {
	Address string // host:port

	target string

	mu       sync.Mutex
	isDown   bool
	open     map[net.Conn]bool
	frozen   chan struct{} // not nil while nothing passes; closed when it passes again
	running  sync.WaitGroup
	listener net.Listener
}

// NewProxy stands before a target, host:port, until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Address: listener.Addr().String(), target: target, open: map[net.Conn]bool{}, listener: listener}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		p.listener.Close()
		p.Down()
		p.running.Wait()
	})
	return p
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(client) })
	}
}

// Up takes connections again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isDown = false
}

// Down takes none, and cuts what is open.
func (p *Proxy) Down() {
	p.Thaw()
	p.mu.Lock()
	p.isDown = true
	p.mu.Unlock()
	p.Cut()
}

// Cut ends what is open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

// Freeze lets nothing pass any more, without a word.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw lets everything pass again.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *Proxy) enter(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	if p.isDown {
		c.Close()
	}
}

func (p *Proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}

func (p *Proxy) pass(client net.Conn) {
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
			_, _ = io.Copy(thawed{p, to}, from)
		})
	}
	both.Wait()
}

// thawed writes while nothing is frozen.
type thawed struct {
	p  *Proxy
	to io.Writer
}

func (g thawed) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	frozen := g.p.frozen
	g.p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return g.to.Write(b)
}
