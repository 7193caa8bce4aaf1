package measure

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"time"
)

// responder is an instance that answers every request without a body at once, for as little work as can be: with a
// hundred of them on the machine that is measured, a whole web server would be most of what is measured.
type responder struct {
	listener net.Listener
	asked    func(path string, at time.Time) // is told of each request
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once it is closed
}

func newResponder(asked func(path string, at time.Time)) (*responder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &responder{listener: listener, asked: asked, conns: map[net.Conn]bool{}}
	r.serving.Go(r.accept)
	return r, nil
}

// address is where it listens.
func (r *responder) address() string { return r.listener.Addr().String() }

func (r *responder) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.serving.Go(func() {
			defer conn.Close()
			if r.open(conn) {
				r.serve(conn)
				r.mu.Lock()
				delete(r.conns, conn)
				r.mu.Unlock()
			}
		})
	}
}

// open notes a connection, unless all have been closed already.
func (r *responder) open(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	r.conns[conn] = true
	return true
}

// serve answers until the other end has closed, or sends what is no request.
func (r *responder) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(line, " ")
		path, _, isRequest := strings.Cut(rest, " ")
		if !isRequest {
			return
		}
		for header := line; header != "\r\n"; {
			slice, err := reader.ReadSlice('\n')
			if err != nil {
				return
			}
			header = string(slice)
		}
		r.asked(path, time.Now())
		if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return
		}
	}
}

// close ends it, and its connections.
func (r *responder) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.serving.Wait()
}
