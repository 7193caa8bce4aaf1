package server

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
)

// member returns a server that is about to join through the agent, and its log.
func member(agent *stubAgent) (*membership, *bytes.Buffer) {
	agent.start = time.Now()
	log := &bytes.Buffer{}
	return &membership{
		agent:  agent,
		ackKey: "zato/main/drained/s-1",
		registration: consul.Registration{
			ID: "s-1", Name: "zato-server", Address: "10.0.0.7", Port: 17010,
			Check: &consul.HTTPCheck{InitialStatus: consul.Passing},
		},
		log: zerolog.New(log),
	}, log
}

func leftover(status consul.Status, reason string) *consul.Instance {
	instance := &consul.Instance{ID: "s-1", Status: status, Checks: []consul.Check{{ID: "service:s-1"}}}
	if reason != "" {
		instance.Checks = append(instance.Checks, consul.Check{ID: "_service_maintenance:s-1", Notes: reason})
	}
	return instance
}

func TestJoin(t *testing.T) {
	const registered = "register s-1 at 10.0.0.7:17010 passing"
	for _, c := range []struct {
		name  string
		agent *stubAgent
		back  time.Duration // when an agent that is away is there again
		want  string
		log   string
	}{
		{name: "a first time", agent: &stubAgent{}, want: "0s deregister s-1\n0s " + registered, log: "registered in Consul"},
		{
			name: "after a crash that nobody noticed", agent: &stubAgent{instance: leftover(consul.Passing, "")},
			want: "0s deregister s-1\n0s " + registered,
		},
		{
			name: "after a crash that the check found", agent: &stubAgent{instance: leftover(consul.Critical, "")},
			want: "0s deregister s-1\n0s " + registered,
		},
		{
			name: "after a crash while leaving", agent: &stubAgent{instance: leftover(consul.Maintenance, stopReason)},
			want: "0s deregister s-1\n0s " + registered,
		},
		{
			name: "in maintenance by an operator", agent: &stubAgent{instance: leftover(consul.Maintenance, "new disk")},
			want: "0s " + registered, log: "new disk",
		},
		{
			name: "in maintenance with its node", agent: &stubAgent{instance: &consul.Instance{
				ID: "s-1", Status: consul.Maintenance, Checks: []consul.Check{{ID: "_node_maintenance", Notes: "new disk"}},
			}},
			want: "0s deregister s-1\n0s " + registered,
		},
		{
			name: "while Consul is away", agent: &stubAgent{away: true}, back: time.Minute,
			want: "1m0s deregister s-1\n1m0s " + registered, log: "serving anyway",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, log := member(c.agent)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if c.back > 0 {
					time.AfterFunc(c.back-time.Millisecond, func() { c.agent.set(func() { c.agent.away = false }) })
				}
				if err := m.join(ctx); err != nil {
					t.Error(err)
				}
				if got := c.agent.said(); got != c.want {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
				if got := log.String(); !strings.Contains(got, c.log) || strings.Count(got, "\n") > 3 {
					t.Errorf("the log does not say %q once: %s", c.log, got)
				}
			})
		})
	}
}

func TestJoinEndsWhileConsulIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := member(&stubAgent{away: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.join(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestLeave(t *testing.T) {
	const announced = "0s delete zato/main/drained/s-1\n0s maintenance s-1 true \"zatoha: the server is stopping\""
	for _, c := range []struct {
		name  string
		agent *stubAgent
		fail  error
		took  time.Duration
		want  string
	}{
		{name: "acknowledged", agent: &stubAgent{acknowledge: 1200 * time.Millisecond}, took: 1200 * time.Millisecond, want: announced},
		{name: "no load balancer", agent: &stubAgent{}, fail: errNotDrained, took: 3 * time.Second, want: announced},
		{name: "too late", agent: &stubAgent{acknowledge: 5 * time.Second}, fail: errNotDrained, took: 3 * time.Second, want: announced},
		{
			name: "an old acknowledgement does not count", agent: &stubAgent{staleAck: true, acknowledge: 2 * time.Second},
			took: 2 * time.Second, want: announced,
		},
		{name: "Consul is away", agent: &stubAgent{away: true}, fail: errAway, want: "0s delete zato/main/drained/s-1: away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := member(c.agent)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if err := m.leave(ctx); !errors.Is(err, c.fail) {
					t.Errorf("error %v, want %v", err, c.fail)
				}
				if took := time.Since(c.agent.start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if got := c.agent.said(); got != c.want {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
			})
		})
	}
}

func TestLeaveOutlivesAConsulThatGoesAwayMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &stubAgent{acknowledge: time.Second}
		m, _ := member(agent)
		time.AfterFunc(500*time.Millisecond, func() { agent.set(func() { agent.away = true }) })
		time.AfterFunc(1500*time.Millisecond, func() { agent.set(func() { agent.away = false }) })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := m.leave(ctx); err != nil {
			t.Error(err)
		}
	})
}
