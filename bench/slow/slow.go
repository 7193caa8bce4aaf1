// Package slow is a client that does harm by being slow: it holds thousands of connections, each of which sends, or
// takes, a few bytes now and then, and opens another for each that is closed.
//
// One case: two thousand clients begin a request and never come to its end.
//
//	attack, err := slow.Start(ctx, slow.Options{Addr: "127.0.0.1:11223", Kind: slow.Headers, Connections: 2000})
//	err = attack.Await(ctx) // until all are connected
//	// … look how others fare …
//	counts := attack.Stop()
//
// It takes a goroutine for each connection and next to no processor time, so that what others notice of it on the same
// machine is what the connections do, not what making them costs.
package slow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"zatoha/bench/pause"
)

// Kind is what the clients are slow at.
type Kind struct {
	name   string
	first  string // is sent at once
	piece  string // is sent again and again; "": nothing more is, and a piece of the answer is read instead
	window int    // bytes that the kernel may hold unread; 0 for its own choice
}

// The kinds.
var (
	Headers = Kind{name: "headers", first: "GET " + path + " HTTP/1.1\r\n" + host, piece: "X-Slow: s\r\n"}
	Bodies  = Kind{
		name:  "bodies",
		first: "POST " + path + " HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nContent-Length: 8192\r\n\r\n",
		piece: "\"slow\",  ",
	}
	Readers = Kind{name: "readers", first: get + get + get, window: 1}
)

const (
	path = "/zato/ping"
	host = "Host: slow\r\n"
	get  = "GET " + path + " HTTP/1.1\r\n" + host + "\r\n"

	readAtOnce = 32 // bytes, by readers
)

// String is the kind's name.
func (k Kind) String() string { return k.name }

// Options say whom to attack, and how. Addr, Kind and Connections are needed.
type Options struct {
	Addr        string
	Kind        Kind
	Connections int           // at a time
	Every       time.Duration // between two pieces; 0 means 2 s
	PerSecond   int           // connections that are opened in a second, at most; 0 means 500
}

// Counts are how an attack goes.
type Counts struct {
	Opened  int // connections, in all
	Open    int // now
	Closed  int // by the other side, with an answer or without
	Refused int // or not answered in time
}

// Attack is one under way. Its methods may be called from any goroutine.
type Attack struct {
	options                       Options
	opened, open, closed, refused atomic.Int64
	cancel                        context.CancelFunc
	clients                       sync.WaitGroup
	turn                          chan struct{} // lets one client connect
	full                          chan struct{} // closed when all have been connected at once
	once                          sync.Once
}

// Start begins an attack, which ends with ctx or by Stop.
func Start(ctx context.Context, options Options) (*Attack, error) {
	if options.Connections < 1 || options.Kind.name == "" {
		return nil, fmt.Errorf("slow options: %d Connections of the Kind %q: give at least one, and a Kind", options.Connections, options.Kind)
	}
	if _, _, err := net.SplitHostPort(options.Addr); err != nil {
		return nil, fmt.Errorf("slow options: Addr: %w", err)
	}
	if options.Every <= 0 {
		options.Every = 2 * time.Second
	}
	if options.PerSecond <= 0 {
		options.PerSecond = 500
	}
	a := &Attack{options: options, turn: make(chan struct{}), full: make(chan struct{})}
	ctx, a.cancel = context.WithCancel(ctx)
	a.clients.Go(func() { a.pace(ctx) })
	for range options.Connections {
		a.clients.Go(func() { a.client(ctx) })
	}
	return a, nil
}

// Await waits until all connections were open at one time.
func (a *Attack) Await(ctx context.Context) error {
	select {
	case <-a.full:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("slow %s: not all %d are connected: %+v: %w", a.options.Kind, a.options.Connections, a.Counts(), ctx.Err())
	}
}

// Counts tells how it goes.
func (a *Attack) Counts() Counts {
	return Counts{int(a.opened.Load()), int(a.open.Load()), int(a.closed.Load()), int(a.refused.Load())}
}

// Stop closes all connections and tells how it went; Open is how many there were. It may be called again.
func (a *Attack) Stop() Counts {
	counts := a.Counts()
	a.cancel()
	a.clients.Wait()
	return counts
}

// pace hands out the turns.
func (a *Attack) pace(ctx context.Context) {
	ticker := time.NewTicker(time.Second / time.Duration(a.options.PerSecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		select {
		case a.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// client has one connection after the other.
func (a *Attack) client(ctx context.Context) {
	for {
		select {
		case <-a.turn:
		case <-ctx.Done():
			return
		}
		conn, err := a.options.dial(ctx)
		if err != nil {
			a.refused.Add(1)
			if pause.For(ctx, a.options.Every) != nil {
				return
			}
			continue
		}
		a.opened.Add(1)
		if a.open.Add(1) == int64(a.options.Connections) {
			a.once.Do(func() { close(a.full) })
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		a.options.dawdle(ctx, conn)
		a.open.Add(-1)
		if stop() {
			a.closed.Add(1)
			_ = conn.Close() // the other side has done so already
		}
	}
}

func (o *Options) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if o.Kind.window > 0 { // before the connection is made, when the window is agreed on
		dialer.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			return errors.Join(raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, o.Kind.window)
			}), err)
		}
	}
	return dialer.DialContext(ctx, "tcp", o.Addr)
}

// dawdle returns when the connection is closed, by either side.
func (o *Options) dawdle(ctx context.Context, conn net.Conn) {
	if _, err := conn.Write([]byte(o.Kind.first)); err != nil {
		return
	}
	if o.Kind.piece == "" {
		o.read(ctx, conn)
		return
	}
	answer := make([]byte, 512)
	for {
		// An answer, or an end of stream, says that there is nothing more to be had of this connection.
		_ = conn.SetReadDeadline(time.Now().Add(o.Every)) // fails if it is closed, as reading will
		if _, err := conn.Read(answer); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if _, err := conn.Write([]byte(o.Kind.piece)); err != nil {
			return
		}
	}
}

// read takes the answers bit by bit, and asks again when there is none left.
func (o *Options) read(ctx context.Context, conn net.Conn) {
	bit := make([]byte, readAtOnce)
	for pause.For(ctx, o.Every) == nil {
		_ = conn.SetReadDeadline(time.Now().Add(o.Every))
		_, err := conn.Read(bit)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_, err = conn.Write([]byte(o.Kind.first))
		}
		if err != nil {
			return
		}
	}
}
