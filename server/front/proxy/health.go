package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// health remembers whether the upstream was well when it was asked last.
type health struct {
	ask      func(ctx context.Context) error
	interval time.Duration

	mu     sync.Mutex
	asking bool
	asked  time.Time
	err    error
}

// Ready says whether the application can take requests: whether it accepts connections and, with a health path, answers
// it with anything but a 5xx. The answer holds for a while, so Ready may be called often: who finds it too old asks
// anew, and until it comes the others are told the old one.
func (p *Proxy) Ready(ctx context.Context) error { return p.health.ready(ctx) }

func (h *health) ready(ctx context.Context) error {
	h.mu.Lock()
	first := h.asked.IsZero()
	if !first && (h.asking || time.Since(h.asked) < h.interval) {
		defer h.mu.Unlock()
		return h.err
	}
	h.asking = true
	h.mu.Unlock()
	err := h.ask(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking = false
	if ctx.Err() == nil { // else it says nothing about the application
		h.asked, h.err = time.Now(), err
	}
	return err
}

// ask asks on a connection of its own: the pool's may all be in use, and whether new ones are accepted is the question.
func (p *Proxy) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.HealthTimeout)
	defer cancel()
	conn, err := p.pool.dial(ctx)
	if err != nil {
		return fmt.Errorf("the application at %s cannot be reached: %w", p.host, err)
	}
	defer conn.Close()
	if p.options.HealthPath == "" {
		return nil
	}
	deadline, _ := ctx.Deadline()
	status, err := p.askPath(conn, deadline)
	if err != nil {
		return fmt.Errorf("the application at %s does not answer %s: %w", p.host, p.options.HealthPath, err)
	}
	if status >= 500 {
		return fmt.Errorf("the application at %s answers %s with status %d", p.host, p.options.HealthPath, status)
	}
	return nil
}

func (p *Proxy) askPath(conn net.Conn, deadline time.Time) (status int, err error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p.prefix, p.options.HealthPath, p.host); err != nil {
		return 0, err
	}
	var head fasthttp.ResponseHeader
	err = head.Read(bufio.NewReaderSize(conn, p.options.HeaderBytes))
	return head.StatusCode(), err
}
