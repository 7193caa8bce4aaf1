package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// called is the path at which a connector calls the service of the counter's.
const called = "/zato/invoke/count"

// counter is a service that answers at once, and counts how often it is called.
type counter struct {
	server   *http.Server
	listener net.Listener
	ended    chan struct{}
	count    atomic.Pointer[count] // under way
}

func newCounter() (*counter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{listener: listener, ended: make(chan struct{})}
	c.server = &http.Server{Handler: c, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	go func() {
		defer close(c.ended)
		_ = c.server.Serve(listener) // until it is closed; whoever counts misses calls if it ends before
	}()
	return c, nil
}

func (c *counter) address() string { return "http://" + c.listener.Addr().String() }

// ServeHTTP counts a call.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if count := c.count.Load(); count != nil && strings.HasPrefix(r.URL.Path, called) {
		count.add()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"zato_env":{"result":"ZATO_OK"}}`+"\n")
}

func (c *counter) close() {
	_ = c.server.Close()
	<-c.ended
}

// count measures from one call to another, by their numbers.
type count struct {
	from, to int
	done     chan struct{} // closed at the last

	mu           sync.Mutex
	n            int
	began, ended time.Time
}

// expect has the calls counted from now on.
func (c *counter) expect(from, to int) *count {
	next := &count{from: from, to: to, done: make(chan struct{})}
	c.count.Store(next)
	return next
}

func (c *count) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	switch c.n {
	case c.from:
		c.began = time.Now()
	case c.to:
		c.ended = time.Now()
		close(c.done)
	}
}

// rate waits for the last call, and is how many came a second.
func (c *count) rate(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errors.New("not within "+bound.String()))
	defer cancel()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n < c.to {
		return 0, fmt.Errorf("%d of %d messages came: %w", c.n, c.to, context.Cause(ctx))
	}
	return float64(c.to-c.from) / c.ended.Sub(c.began).Seconds(), nil
}
