package amqp

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/connectorhost/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen starts somebody who does with each connection what serve says, and returns a source and a sink that connect to
// it.
func listen(t *testing.T, serve func(net.Conn)) (connector.Source, connector.Sink) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	env := connector.Environment{Name: "test", Blocked: func(string) {}}
	s := &Settings{
		URL: connector.NewSecret("amqp://me:secret@" + listener.Addr().String() + "/"), Heartbeat: time.Second, PoolSize: 1,
		PrefetchCount: 1, Queue: "q", DeadQueue: "d", RoutingKey: "q", Confirm: true,
	}
	return s.Source(env), s.Sink(env)
}

// untilHungUp reads until the other side closes.
func untilHungUp(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestABrokerThatSaysNothingIsGivenUpInTime(t *testing.T) {
	source, sink := listen(t, untilHungUp)
	for name, connect := range map[string]func(context.Context) error{"source": source.Connect, "sink": sink.Connect} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		since := time.Now()
		if err := connect(ctx); !errors.Is(err, connector.ErrNotConnected) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(since); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		cancel()
	}
	closeBoth(t, source, sink)
}

func closeBoth(t *testing.T, source connector.Source, sink connector.Sink) {
	t.Helper()
	for _, end := range []func(context.Context) error{source.Close, sink.Close} {
		if err := end(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestWhoIsNoBrokerIsNotConnected(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"hangs up":     func(net.Conn) {},
		"speaks HTTP":  func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"older AMQP":   func(c net.Conn) { _, _ = io.WriteString(c, "AMQP\x00\x00\x08\x00") },
		"a huge frame": func(c net.Conn) { _, _ = io.WriteString(c, "\x01\x00\x00\xff\xff\xff\xff"); untilHungUp(c) },
	} {
		source, sink := listen(t, serve)
		for _, connect := range []func(context.Context) error{source.Connect, sink.Connect} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := connect(ctx); !errors.Is(err, connector.ErrNotConnected) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		closeBoth(t, source, sink)
	}
}

func TestAHungCallIsAbandonedAndEndsTheLink(t *testing.T) {
	l := &link{lost: make(chan struct{})}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l.socket = ours
	err := l.guard(t.Context(), 10*time.Millisecond, "ask", func() error {
		_, err := ours.Read(make([]byte, 1)) // comes back when the socket is closed
		return err
	})
	if !errors.Is(err, connector.ErrNotConnected) || !strings.Contains(err.Error(), "ask") {
		t.Error(err)
	}
	select {
	case <-l.lost:
	default:
		t.Error("the link goes on")
	}
	if !errors.Is(l.reason(), connector.ErrNotConnected) {
		t.Error(l.reason())
	}
}

func TestMissingSecretsAreARefusalThatNamesThem(t *testing.T) {
	s := &Settings{URL: connector.NewSecret("amqp://me:${env:ZATOHA_TEST_MISSING}@mq/"), PoolSize: 1}
	source := s.Source(connector.Environment{Name: "test", Blocked: func(string) {}})
	if err := source.Connect(t.Context()); !errors.Is(err, connector.ErrRefused) || !strings.Contains(err.Error(), "ZATOHA_TEST_MISSING") {
		t.Error(err)
	}
}
