package outgoing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmtp"
	"zatoha/server/service"
)

func define(t *testing.T, name, kind, method, address string) *connector.Definition {
	t.Helper()
	d, err := connector.Decode(fmt.Appendf(nil, `{"name": %q, "kind": "zmq", "role": "outgoing", "socket_type": %q, "socket_method": %q, "address": %q, "max_message_bytes": 1000}`,
		name, kind, method, address))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// receiver is somebody who takes what is sent.
func receiver(t *testing.T, o zmtp.Options) *zmtp.Socket {
	t.Helper()
	if o.Method == "" {
		o.Method, o.Addresses = zmtp.Bind, []string{"tcp://127.0.0.1:*"}
	}
	o.RetryMin = 5 * time.Millisecond
	s, err := zmtp.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(s) })
	return s
}

func closeNow(s *zmtp.Socket) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx)
}

func sendZMQ(t *testing.T, s *Set, name string, m service.Message) error {
	t.Helper()
	out := s.Outgoing("zmq", name)
	if out == nil {
		t.Fatalf("there is no %s", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	return out.Send(ctx, m)
}

func received(t *testing.T, s *zmtp.Socket) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	message, err := s.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var frames []string
	for _, frame := range message {
		frames = append(frames, string(frame))
	}
	return strings.Join(frames, "|")
}

func TestServicesPushAndPublish(t *testing.T) {
	pull := receiver(t, zmtp.Options{Type: zmtp.Pull})
	s := newSet(t, Config{})
	s.Define([]*connector.Definition{
		define(t, "work", "PUSH", "connect", pull.Addr()),
		define(t, "news", "PUB", "bind", "tcp://127.0.0.1:*"),
	})
	if err := sendZMQ(t, s, "work", service.Message{Payload: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	if got := received(t, pull); got != "one" {
		t.Errorf("got %q", got)
	}
	if err := sendZMQ(t, s, "work", service.Message{Payload: []byte("body"), Headers: map[string]string{"key": "k", "other": "x"}}); err != nil {
		t.Fatal(err)
	}
	if got := received(t, pull); got != "k|body" {
		t.Errorf("got %q", got)
	}
	<-s.sockets["news"].opened
	sub := receiver(t, zmtp.Options{Type: zmtp.Sub, SubKeys: []string{"eur"}, Method: zmtp.Connect, Addresses: []string{s.sockets["news"].zmtp.Addr()}})
	eventually(t, func() bool {
		if err := sendZMQ(t, s, "news", service.Message{Payload: []byte("1.08"), Headers: map[string]string{"key": "eur"}}); err != nil {
			t.Fatal(err)
		}
		return sub.Stats().Received > 0
	})
	if got := received(t, sub); got != "eur|1.08" {
		t.Errorf("got %q", got)
	}
}

func TestWhatZeroMQRefuses(t *testing.T) {
	s := newSet(t, Config{})
	blocked := receiver(t, zmtp.Options{Type: zmtp.Pull})
	s.Define([]*connector.Definition{
		define(t, "absent", "PUSH", "connect", "tcp://127.0.0.1:1"),
		define(t, "taken", "PUSH", "bind", blocked.Addr()),
	})
	for name, wants := range map[string]string{
		"absent": `outgoing zmq connection "absent": not sent: zeromq PUSH to tcp://127.0.0.1:1: not sent: no peer is connected (tcp://127.0.0.1:1: connect: `,
		"taken":  `address already in use`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := s.Outgoing("zmq", name).Send(ctx, service.Message{Payload: []byte("x")})
		cancel()
		if kindOf(err) != service.Unavailable || !strings.Contains(err.Error(), wants) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := sendZMQ(t, s, "absent", service.Message{Payload: make([]byte, 1001)}); kindOf(err) != service.TooLarge {
		t.Errorf("too large: %v", err)
	}
	closeNow(blocked)
	pull := receiver(t, zmtp.Options{Type: zmtp.Pull, Method: zmtp.Connect, Addresses: []string{blocked.Addr()}})
	if err := sendZMQ(t, s, "taken", service.Message{Payload: []byte("late")}); err != nil {
		t.Errorf("when the address is free: %v", err)
	}
	if got := received(t, pull); got != "late" {
		t.Errorf("got %q", got)
	}
	if s.Outgoing("zmq", "nothing") != nil {
		t.Error("there is a connection that nobody has defined")
	}
}

func TestDefinitionsChangeLive(t *testing.T) {
	first, second := receiver(t, zmtp.Options{Type: zmtp.Pull}), receiver(t, zmtp.Options{Type: zmtp.Pull})
	s := newSet(t, Config{})
	untouched := define(t, "untouched", "PUSH", "connect", first.Addr())
	s.Define([]*connector.Definition{untouched, define(t, "work", "PUSH", "connect", first.Addr())})
	same := s.sockets["untouched"]

	// Sends go on while the definition changes back and forth; each arrives once.
	const messages = 400
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := range messages / 4 {
				if err := sendZMQ(t, s, "work", service.Message{Payload: fmt.Appendf(nil, "%d %d", sender, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, to := range []*zmtp.Socket{second, first, second} {
		before := first.Stats().Received + second.Stats().Received
		eventually(t, func() bool { return first.Stats().Received+second.Stats().Received > before+20 })
		s.Define([]*connector.Definition{untouched, define(t, "work", "PUSH", "connect", to.Addr())})
	}
	senders.Wait()
	seen := map[string]int{}
	for _, pull := range []*zmtp.Socket{first, second} {
		for range pull.Stats().Received {
			seen[received(t, pull)]++
		}
	}
	if len(seen) != messages || second.Stats().Received == 0 {
		t.Errorf("%d of %d arrived, %d of them at the second", len(seen), messages, second.Stats().Received)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s arrived %d times", name, n)
		}
	}
	if s.sockets["untouched"] != same {
		t.Error("the connection that did not change was opened anew")
	}

	inactive := define(t, "untouched", "PUSH", "connect", first.Addr())
	inactive.Active = false
	s.Define([]*connector.Definition{inactive})
	if s.Outgoing("zmq", "untouched") != nil || s.Outgoing("zmq", "work") != nil {
		t.Error("what was taken out is still there")
	}
}

func TestASendThatWaitsIsSentByTheNewConnection(t *testing.T) {
	s := newSet(t, Config{})
	s.Define([]*connector.Definition{define(t, "work", "PUSH", "connect", "tcp://127.0.0.1:1")})
	sent := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		sent <- s.Outgoing("zmq", "work").Send(ctx, service.Message{Payload: []byte("x")})
	}()
	eventually(t, func() bool { return testutil.ToFloat64(s.metrics.inFlight.WithLabelValues("zmq")) == 1 })
	pull := receiver(t, zmtp.Options{Type: zmtp.Pull})
	s.Define([]*connector.Definition{define(t, "work", "PUSH", "connect", pull.Addr())})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := received(t, pull); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestZeroMQsOwnCountsAreMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newSet(t, Config{Registry: registry})
	s.Define([]*connector.Definition{define(t, "news", "PUB", "bind", "tcp://127.0.0.1:*")})
	if err := sendZMQ(t, s, "news", service.Message{Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP zato_server_outgoing_zmq_peers ZeroMQ peers that are connected, by connection.
# TYPE zato_server_outgoing_zmq_peers gauge
zato_server_outgoing_zmq_peers{name="news"} 0
# HELP zato_server_outgoing_zmq_unheard_total Published messages that nobody had subscribed to, by connection.
# TYPE zato_server_outgoing_zmq_unheard_total counter
zato_server_outgoing_zmq_unheard_total{name="news"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "zato_server_outgoing_zmq_peers", "zato_server_outgoing_zmq_unheard_total"); err != nil {
		t.Error(err)
	}
}

func TestTroubleIsLoggedOnceInAWhile(t *testing.T) {
	var text strings.Builder
	s := newSet(t, Config{Log: slog.New(slog.NewTextHandler(&text, nil))})
	news := s.newsOf("work")
	for range 100 {
		news(zmtp.Event{Peer: "a", Err: io.EOF, Cause: zmtp.Left})
		news(zmtp.Event{Peer: "b", Err: io.EOF, Cause: zmtp.Protocol})
	}
	news(zmtp.Event{Peer: "c"})
	if n := strings.Count(text.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, &text)
	}
}
