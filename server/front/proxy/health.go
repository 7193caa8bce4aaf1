package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// errNotAsked is what is known before the first answer.
var errNotAsked = errors.New("the application has not been asked yet")

// health remembers whether the upstream was well when it was asked last.
type health struct {
	ask      func(ctx context.Context) error
	interval time.Duration
	changed  func(err error) // is told when the application falls ill or gets well; may be nil

	mu     sync.Mutex
	asking bool
	asked  time.Time
	err    error
}

// Ready says whether the application can take requests: whether it accepts connections and, with a health path, answers
// it with anything but a 5xx. The answer holds for a while, so Ready may be called often: who finds it too old asks
// anew, and until it comes the others are told the old one.
func (p *Proxy) Ready(ctx context.Context) error { return p.health.ready(ctx) }

// Known is what Ready would say, if that is known already: it never waits. When what is known is too old it begins to
// ask anew, and says so much as long as nothing is known at all.
func (p *Proxy) Known() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errStopped
	}
	old, err := p.health.known()
	if old {
		p.ending.Go(func() { p.health.keep(p.health.ask(p.alive)) })
	}
	return err
}

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
	if ctx.Err() != nil { // it says nothing about the application
		h.mu.Lock()
		defer h.mu.Unlock()
		h.asking = false
		return err
	}
	h.keep(err)
	return err
}

// known is what is known. If it is old, the caller must ask anew, and keep the answer.
func (h *health) known() (old bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err = h.err
	if h.asked.IsZero() {
		err = errNotAsked
	}
	if old = !h.asking && (h.asked.IsZero() || time.Since(h.asked) >= h.interval); old {
		h.asking = true
	}
	return old, err
}

func (h *health) keep(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed != nil && (h.asked.IsZero() || (h.err == nil) != (err == nil)) {
		h.changed(err)
	}
	h.asking, h.asked, h.err = false, time.Now(), err
}

// well says whether the application was well when it was asked last.
func (h *health) well() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.asked.IsZero() && h.err == nil
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

func (p *Proxy) logHealth(err error) {
	if err != nil {
		p.log.Warn().Err(err).Msg("the application is not well: this server is not ready")
		return
	}
	p.log.Info().Str("upstream", p.options.Upstream).Msg("the application is well")
}
