package front

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/server/service"
)

func TestConnectionOverTheLimitIsToldSo(t *testing.T) {
	limits := DefaultLimits()
	limits.Connections = 1
	r := start(t, limits, nil)
	first := r.dial(t)
	if _, err := io.WriteString(first, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(first)
	receive(t, in).check(t, 200, pong)
	second := receive(t, bufio.NewReader(r.dial(t)))
	second.check(t, 503, refusal("the server has too many connections"))
	if !second.Close {
		t.Error("the connection over the limit is not announced as closed")
	}
	if _, err := io.WriteString(first, "GET /zato/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	receive(t, in).check(t, 200, pong)
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the first connection is still open: %v", err)
	}
	eventually(t, "a connection within the limit is served again", func() bool {
		return r.exchange(t, "GET /zato/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").StatusCode == 200
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	r := start(t, DefaultLimits(), map[string]service.Service{
		"slow": func(ctx *service.Context, _ service.Request) (service.Response, error) {
			close(entered)
			<-finish
			return service.Response{Payload: []byte("done")}, ctx.Err()
		},
	})
	idle := r.dial(t)
	if _, err := io.WriteString(idle, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	idleIn := bufio.NewReader(idle)
	receive(t, idleIn).check(t, 200, pong)
	busy := r.dial(t)
	if _, err := io.WriteString(busy, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown(10 * time.Second) }()
	if _, err := idleIn.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection is not closed: %v", err)
	}
	close(finish)
	got := receive(t, bufio.NewReader(busy))
	got.check(t, 200, "done")
	if !got.Close {
		t.Error("the last response of the connection does not say so")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", r.address); err == nil {
		_ = c.Close()
		t.Error("still accepting")
	}
}

func TestShutdownTellsLateServicesToGiveUp(t *testing.T) {
	entered := make(chan struct{})
	r := start(t, DefaultLimits(), map[string]service.Service{
		"endless": func(ctx *service.Context, _ service.Request) (service.Response, error) {
			close(entered)
			<-ctx.Done()
			return service.Response{}, ctx.Err()
		},
	})
	c := r.dial(t)
	if _, err := io.WriteString(c, "POST /endless HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown(20 * time.Millisecond) }()
	receive(t, bufio.NewReader(c)).check(t, 503, refusal("the server is stopping"))
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownEndsWhatBeginsToServeAfterIt(t *testing.T) {
	f := New(&Table{}, DefaultLimits(), prometheus.NewRegistry(), zerolog.Nop())
	if err := f.Shutdown(time.Second); err != nil {
		t.Fatal(err)
	}
	for _, serve := range []func(net.Listener) error{f.Serve, f.ServeInvocations} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- serve(listener) }()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("still serving")
		}
		if err := listener.Close(); err == nil {
			t.Error("the listener was left open")
		}
	}
}

// The moment of a shutdown may be any one of a start.
func TestShutdownDuringTheStartEndsIt(t *testing.T) {
	for range 50 {
		f := New(&Table{}, DefaultLimits(), prometheus.NewRegistry(), zerolog.Nop())
		served := make(chan error, 2)
		for _, serve := range []func(net.Listener) error{f.Serve, f.ServeInvocations} {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { served <- serve(listener) }()
		}
		if err := f.Shutdown(time.Second); err != nil {
			t.Error(err)
		}
		for range 2 {
			select {
			case err := <-served:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("still serving")
			}
		}
	}
}

func TestRequestAfterGivingUpGets503(t *testing.T) {
	r := start(t, DefaultLimits(), nil)
	r.giveUp()
	r.exchange(t, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n").check(t, 503, refusal("the server is stopping"))
}
