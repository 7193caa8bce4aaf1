package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	tunnelBuffer = 4 << 10 // two for each tunnel, of which there may be thousands

	// handOverTime is how long the server may take to hand a connection over. If it finds the connection broken it never
	// does, and does not tell.
	handOverTime = 5 * time.Second
)

// tunnel is a pair of connections whose protocol is not ours any more: what one sends, the other gets.
type tunnel struct {
	p        *Proxy
	client   net.Conn
	upstream *upstreamConn
	cid      string
	active   atomic.Int64 // when something was sent last, in Unix nanoseconds
	half     atomic.Bool  // one direction has ended: the other must not last for ever
	orphan   *time.Timer  // ends a tunnel that the server did not begin
	ending   sync.Once
}

// openTunnel lets the server hand the client's connection over. The tunnel owns the connection to the upstream.
func (e *exchange) openTunnel() error {
	h := &e.ctx.Response.Header
	protocol := bytes.Clone(h.Peek(fasthttp.HeaderUpgrade))
	if !h.ConnectionUpgrade() || len(protocol) == 0 {
		return whyNoAnswer(errors.New("status 101 without an upgrade"), e.c.got)
	}
	cleanse(h, e.cid)
	h.Set(fasthttp.HeaderConnection, fasthttp.HeaderUpgrade)
	h.SetBytesV(fasthttp.HeaderUpgrade, protocol)
	head := bytes.Clone(h.Header())
	t := &tunnel{p: e.p, client: e.client, upstream: e.c, cid: e.cid}
	t.touch()
	if !e.p.enter(t) {
		return stopping(errStopped)
	}
	// The server writes no response to what is handed over, since it would keep the handler from being called if that
	// failed or if it is stopping.
	e.ctx.HijackSetNoResponse(true)
	e.ctx.Hijack(func(client net.Conn) { t.run(client, head) })
	return nil
}

// enter counts a tunnel, unless the proxy is closed.
func (p *Proxy) enter(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.tunnels[t] = struct{}{}
	p.ending.Add(1)
	t.orphan = time.AfterFunc(handOverTime, func() {
		t.end()
		t.leave()
	})
	return true
}

// run is called by the server, with the bytes that it has read already before the connection.
func (t *tunnel) run(client net.Conn, head []byte) {
	if !t.orphan.Stop() {
		return
	}
	defer t.leave()
	defer t.end()
	t.upstream.lookout = t
	if err := client.SetWriteDeadline(time.Now().Add(t.p.options.BodyTimeout)); err != nil {
		return
	}
	if _, err := client.Write(head); err != nil {
		return
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		t.copy(t.upstream.Conn, t.readClient(client))
	}()
	t.copy(client, t.upstream.in.Read)
	<-up
}

// copy passes on what read reads until the sender ends, then ends that direction; a fault ends both.
func (t *tunnel) copy(to net.Conn, read func([]byte) (int, error)) {
	buffer := make([]byte, tunnelBuffer)
	for {
		n, err := read(buffer)
		if n > 0 {
			t.touch()
			if to.SetWriteDeadline(time.Now().Add(t.p.options.BodyTimeout)) != nil || t.ended() {
				t.end()
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				t.end()
				return
			}
		}
		if err == io.EOF && closeWrite(to) {
			t.touch()
			t.half.Store(true)
			return
		}
		if err != nil {
			t.end()
			return
		}
	}
}

// readClient reads with the patience of a tunnel, in which the other direction may be busy.
func (t *tunnel) readClient(client net.Conn) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		for {
			left, err := t.look(0)
			if err != nil {
				return 0, err
			}
			if err := client.SetReadDeadline(time.Now().Add(left)); err != nil {
				return 0, err
			}
			if t.ended() {
				return 0, errStopped
			}
			n, err := client.Read(p)
			var network net.Error
			if n == 0 && errors.As(err, &network) && network.Timeout() {
				continue
			}
			return n, err
		}
	}
}

// look implements lookout: a tunnel is given up when neither side has sent anything for long, or for not so long if only
// one side can still send.
func (t *tunnel) look(time.Duration) (time.Duration, error) {
	patience := t.p.options.TunnelTimeout
	if t.half.Load() {
		patience = min(patience, t.p.options.BodyTimeout)
	}
	left := patience - time.Since(time.Unix(0, t.active.Load()))
	if left <= 0 {
		return 0, errors.New("the tunnel was silent for too long")
	}
	return min(left, t.p.options.BodyTimeout), nil
}

func (t *tunnel) touch() { t.active.Store(time.Now().UnixNano()) }

func (t *tunnel) ended() bool { return t.upstream.cause.Load() != nil }

// end makes both directions end soon. The server closes the client's connection.
func (t *tunnel) end() {
	t.ending.Do(func() {
		t.upstream.interrupt(errStopped)
		_ = t.client.SetReadDeadline(time.Unix(1, 0))
		_ = t.client.SetWriteDeadline(time.Unix(1, 0))
	})
}

// leave is called once for each tunnel.
func (t *tunnel) leave() {
	t.p.pool.drop(t.upstream)
	t.p.mu.Lock()
	delete(t.p.tunnels, t)
	t.p.mu.Unlock()
	t.p.ending.Done()
}

// closeWrite tells the peer that nothing more comes, if the connection has a way to say so.
func closeWrite(c net.Conn) bool {
	for ; c != nil; c = layerBelow(c) {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite() == nil
		}
	}
	return false
}
