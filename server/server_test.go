package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"zatoha/server/front"
	"zatoha/server/service"
)

// TestMain lets the test binary play the server, for tests of a whole process.
func TestMain(m *testing.M) {
	if os.Getenv("SERVER_TEST_PROCESS") != "" {
		os.Exit(Main(service.NewRegistry()))
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// live serves in this process with a stub of Consul. The function returned stops it and returns what serve returned.
func live(t *testing.T, agent *stubAgent, s settings) (address string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	agent.start = time.Now()
	defaults(&s)
	s.Service, s.Cluster, s.CheckInterval = "zato-server", "main", time.Second
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, listener, agent, zerolog.Nop()) }()
	t.Cleanup(cancel)
	return listener.Addr().String(), func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("the server did not stop")
		}
	}
}

// defaults fills in what tests do not choose.
func defaults(s *settings) {
	limits := front.DefaultLimits()
	s.MaxHeaderBytes, s.MaxBodyBytes, s.MaxConnections, s.MaxConcurrency = limits.HeaderBytes, limits.BodyBytes, limits.Connections, limits.Concurrency
	s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = limits.ReadTimeout, limits.WriteTimeout, limits.IdleTimeout
	s.RememberMessages, s.RememberFor = 100, time.Minute
	if s.ServiceTimeout == 0 {
		s.ServiceTimeout = 5 * time.Second
	}
	if s.services == nil {
		s.services = service.NewRegistry()
	}
}

func ping(address string) (status int, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + pingPath)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func TestServerAnswersUntilItIsDrained(t *testing.T) {
	agent := &stubAgent{}
	address, stop := live(t, agent, settings{ID: "s-1", DrainTimeout: 10 * time.Second, FinishTimeout: time.Second})
	eventually(t, "registered", func() bool { return strings.Contains(agent.said(), "register s-1 at 127.0.0.1") })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "announced", func() bool { return strings.Contains(agent.said(), "maintenance s-1 true") })
	if status, err := ping(address); status != http.StatusOK {
		t.Errorf("while it is being drained: status %d, %v", status, err)
	}
	if said := agent.said(); !strings.HasSuffix(said, fmt.Sprintf("maintenance s-1 true %q", stopReason)) {
		t.Errorf("did more than announce before it was drained:\n%s", said)
	}
	agent.set(func() { agent.staleAck = true })
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if status, err := ping(address); err == nil {
		t.Errorf("still answers after its stop: status %d", status)
	}
	if said := agent.said(); !strings.HasSuffix(said, "deregister s-1") {
		t.Errorf("not deregistered at the end:\n%s", said)
	}
}

func TestServerWithoutConsulServesAndStopsAtOnce(t *testing.T) {
	address, stop := live(t, &stubAgent{away: true}, settings{ID: "s-1", DrainTimeout: time.Hour, FinishTimeout: time.Second})
	eventually(t, "answers", func() bool { status, _ := ping(address); return status == http.StatusOK })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestServerEndsWhenItCannotBeRegistered(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := settings{ID: "refused", Service: "zato-server", FinishTimeout: time.Second}
	defaults(&s)
	err = s.serve(ctx, listener, &stubAgent{start: time.Now()}, zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "not a valid registration") {
		t.Errorf("got %v", err)
	}
}

func TestServerThatCannotAcceptEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	agent := &stubAgent{start: time.Now()}
	s := settings{ID: "s-1", FinishTimeout: time.Second}
	defaults(&s)
	err = s.serve(t.Context(), listener, agent, zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "self-check") || strings.Contains(agent.said(), "register s-1 at") {
		t.Errorf("got %v after\n%s", err, agent.said())
	}
}
