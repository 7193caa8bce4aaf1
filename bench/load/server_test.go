package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the server's end of one connection, for behaviour that no HTTP server offers.
type peer struct {
	*net.TCPConn
	reader *bufio.Reader
}

// ask reads one whole request.
func (p peer) ask() bool {
	request, err := http.ReadRequest(p.reader)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

func (p peer) say(text string) { _, _ = io.WriteString(p, text) }

// reset makes the close that follows send RST.
func (p peer) reset() { _ = p.SetLinger(0) }

// untilClosed returns when the client has closed.
func (p peer) untilClosed() { _, _ = io.Copy(io.Discard, p) }

func answer(status int, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
}

// serve runs behave on every connection and closes it after that; it returns the address.
func serve(t *testing.T, behave func(peer)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer conn.Close()
				behave(peer{conn.(*net.TCPConn), bufio.NewReader(conn)})
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		connections.Wait()
	})
	return listener.Addr().String()
}

// always answers every request with the same text.
func always(text string) func(peer) {
	return func(p peer) {
		for p.ask() {
			p.say(text)
		}
	}
}

// closeAfter answers once and has closed before the next request comes. To close at once instead would send a reset if
// that request was faster.
func closeAfter(text string) func(peer) {
	return func(p peer) {
		p.ask()
		p.say(text)
		_ = p.CloseWrite()
		_, _ = p.reader.Peek(1)
	}
}
