package gather

import (
	"net"
	"sync"
	"time"
)

// mostWaiting is how many bytes wait before a Write does.
const mostWaiting = 1 << 20

// Conn is a connection whose writes are gathered: Write returns before the bytes are on their way, unless there are very
// many already. Everything else is the connection's own.
type Conn struct {
	net.Conn
	writer *Writer
	ended  chan struct{}
	once   sync.Once
}

// Wrap makes one of a connection, with a goroutine that ends when it is closed, or fails. In the latter case failed is
// called with the reason, and the connection is closed.
func Wrap(connection net.Conn, writer *Writer, failed func(error)) *Conn {
	c := &Conn{Conn: connection, writer: writer, ended: make(chan struct{})}
	go func() {
		if err := writer.Run(c.ended); err != nil {
			select {
			case <-c.ended: // it was closed, and that is why
			default:
				failed(err)
			}
			_ = c.Close()
		}
	}()
	return c
}

func (c *Conn) Write(p []byte) (int, error) {
	select {
	case <-c.ended: // the writer may not have seen it yet
		return 0, net.ErrClosed
	default:
	}
	waiting, ok := c.writer.Put(func(to []byte) []byte { return append(to, p...) })
	if !ok {
		return 0, net.ErrClosed
	}
	if waiting > mostWaiting {
		<-c.writer.Written()
	}
	return len(p), nil
}

// lastWords is how long Close waits for the other side to read them.
const lastWords = 100 * time.Millisecond

// Close closes the connection when what waits is written, but soon.
func (c *Conn) Close() error {
	c.once.Do(func() {
		late := time.NewTimer(lastWords)
		defer late.Stop()
		select {
		case <-c.writer.Written():
		case <-late.C:
		}
		close(c.ended)
	})
	return c.Conn.Close()
}
