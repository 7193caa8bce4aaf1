package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"zatoha/server/service"
)

// keep sends a request on a kept connection and returns its answer.
func (r running) keep(t *testing.T, c net.Conn, in *bufio.Reader, request string) answer {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return receive(t, in)
}

func TestAnIdleConnectionRestsAndIsServedAgain(t *testing.T) {
	echo := func(_ *service.Context, q service.Request) (service.Response, error) {
		return service.Response{Payload: q.Payload}, nil
	}
	r := start(t, DefaultLimits(), map[string]service.Service{"echo": echo})
	c := r.dial(t)
	in := bufio.NewReader(c)
	post := func(body string) string {
		return fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for round := range 2 {
		// Two at once, the second in two parts: a connection with a piece of a request is not idle.
		one, two := fmt.Sprint("one ", round), fmt.Sprint("two ", round)
		r.keep(t, c, in, post(one)+post(two)[:30]).check(t, 200, one)
		<-time.After(3 * restTick)
		if resting := r.resting.count(); resting != 0 {
			t.Fatalf("round %d: it rests in the middle of a request", round)
		}
		r.keep(t, c, in, post(two)[30:]).check(t, 200, two)
		eventually(t, "it rests", func() bool { return r.resting.count() == 1 })
		if open := r.server.GetOpenConnectionsCount(); open != 0 {
			t.Errorf("round %d: the server still has %d connections", round, open)
		}
	}
	got := r.exchange(t, get("/metrics"))
	if !strings.Contains(got.body, "zato_server_connections_resting 1\n") {
		t.Error("the metrics do not tell")
	}
	r.keep(t, c, in, "nonsense\r\n\r\n").check(t, 400, refusal("this is no valid HTTP request"))
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on after nonsense: %v", err)
	}
}

func TestARestingConnectionCountsAndEnds(t *testing.T) {
	limits := DefaultLimits()
	limits.Connections, limits.IdleTimeout = 1, 1500*time.Millisecond
	r := start(t, limits, nil)
	first := r.dial(t)
	in := bufio.NewReader(first)
	r.keep(t, first, in, get("/zato/ping")).check(t, 200, pong)
	eventually(t, "it rests", func() bool { return r.resting.count() == 1 })
	receive(t, bufio.NewReader(r.dial(t))).check(t, 503, refusal("the server has too many connections"))
	if _, err := in.ReadByte(); err != io.EOF { // or the deadline of dial
		t.Errorf("it outlives its time: %v", err)
	}
	second := r.dial(t)
	r.keep(t, second, bufio.NewReader(second), get("/zato/ping")).check(t, 200, pong)
	eventually(t, "the second rests", func() bool { return r.resting.count() == 1 })
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a client that goes is noticed", func() bool { return r.resting.count() == 0 })
}

func TestShutdownClosesWhatRests(t *testing.T) {
	r := start(t, DefaultLimits(), nil)
	c := r.dial(t)
	in := bufio.NewReader(c)
	r.keep(t, c, in, get("/zato/ping")).check(t, 200, pong)
	eventually(t, "it rests", func() bool { return r.resting.count() == 1 })
	began := time.Now()
	if err := r.Shutdown(5 * time.Second); err != nil {
		t.Error(err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection is not closed: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("that took %v", took)
	}
}
