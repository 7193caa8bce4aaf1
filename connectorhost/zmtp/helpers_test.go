package zmtp

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is generous: whatever takes longer is broken, however slow the machine.
const bound = 20 * time.Second

// events are what a socket told of its peers.
type events struct {
	mu   sync.Mutex
	seen []Event
}

func (e *events) notify(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, event)
}

// count counts those of a cause whose text has a part; the cause "" is for a peer that came.
func (e *events) count(cause Cause, part string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.seen {
		if event.Cause == cause && (event.Err == nil || strings.Contains(event.Err.Error(), part)) {
			n++
		}
	}
	return n
}

// open opens a socket that is closed when the test ends.
func open(t *testing.T, o Options) *Socket {
	t.Helper()
	if len(o.Addresses) == 0 {
		o.Addresses = []string{"tcp://127.0.0.1:*"}
		o.Method = Bind
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		since := time.Now()
		_ = s.Close(ctx)
		if took := time.Since(since); took > bound {
			t.Errorf("Close took %s", took)
		}
	})
	return s
}

// connected is a socket that connects to others.
func connected(t *testing.T, o Options, to ...string) *Socket {
	t.Helper()
	o.Method, o.Addresses = Connect, to
	return open(t, o)
}

// soon is a context that nothing should outlast.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	return ctx
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func send(t *testing.T, s *Socket, frames ...string) {
	t.Helper()
	if err := s.Send(soon(t), bytesOf(frames)...); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, s *Socket) string {
	t.Helper()
	message, err := s.Receive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return text(message)
}

// text is a message in one line.
func text(message [][]byte) string {
	var parts []string
	for _, frame := range message {
		parts = append(parts, string(frame))
	}
	return strings.Join(parts, "|")
}

func bytesOf(frames []string) (message [][]byte) {
	for _, frame := range frames {
		message = append(message, []byte(frame))
	}
	return message
}

// eventually tries until the condition holds; its error says what does not.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(bound)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not %s", bound, what)
		}
		<-poll.C
	}
}

// raw is a connection to a socket that binds.
func raw(t *testing.T, s *Socket) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.Addr(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// greeting is what a good peer begins with.
func greeting() []byte {
	text := make([]byte, greetingBytes)
	text[0], text[9], text[10], text[11] = 0xff, 0x7f, 3, 1
	copy(text[12:], "NULL")
	return text
}

// greeted is a raw connection that has shaken hands as a socket of a type.
func greeted(t *testing.T, s *Socket, as string) net.Conn {
	t.Helper()
	conn := raw(t, s)
	if _, err := conn.Write(append(greeting(), ready(as)...)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// awaitCutOff wants the other side to close the connection.
func awaitCutOff(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for {
		if _, err := conn.Read(buffer); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatalf("not cut off after %s", bound)
			}
			return
		}
	}
}
