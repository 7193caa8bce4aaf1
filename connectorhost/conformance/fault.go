package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"zatoha/connectorhost/connector"
)

var faultCases = []testCase{
	{"it connects when the broker comes", connects},
	{"it survives a restart of the broker", survives},
	{"it can be stopped while there is no broker", stopsUnconnected},
	{"a fence ends it at once and nothing is lost", fenced},
	{"what succeeded before the connection was lost is not called again", remembered},
}

func connects(t *testing.T, s *subject) {
	d := s.define(t)
	s.Stop(t)
	r := s.run(t, d, succeed, connector.Options{})
	s.alone(t, r)
	s.Start(t)
	r.await(t, connector.Running)
	r.all(t, s.put(t, 1, 3))
	r.end(t)
}

// alone wants a channel without a broker to say so, or to run if it listens.
func (s *subject) alone(t *testing.T, r *running) {
	t.Helper()
	if s.listens() {
		r.await(t, connector.Running)
		return
	}
	if down := r.await(t, connector.BackingOff); down.Reason == "" || down.Counts.Disconnects == 0 {
		t.Errorf("%+v", down)
	}
}

func survives(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), succeed, connector.Options{})
	r.await(t, connector.Running)
	r.all(t, s.put(t, 1, 10))
	s.Stop(t)
	connects := int64(2)
	if s.listens() {
		connects = 1
		pass()
	} else {
		Eventually(t, "loss of the connection", func() bool { return r.now().State != connector.Running })
	}
	s.Start(t)
	r.await(t, connector.Running)
	r.all(t, s.put(t, 11, 10))
	if s.can(t).Redelivers {
		s.empty(t)
	}
	if counts := r.end(t).Counts; counts.Connects != connects || (counts.Disconnects == 0) != s.listens() || counts.Parked+counts.Dropped+counts.Failed != 0 {
		t.Errorf("%+v", counts)
	}
}

func stopsUnconnected(t *testing.T, s *subject) {
	d := s.define(t)
	s.Stop(t)
	r := s.run(t, d, succeed, connector.Options{})
	s.alone(t, r)
	r.end(t)
	s.Start(t)
}

func fenced(t *testing.T, s *subject) {
	d := s.define(t)
	r := s.run(t, d, func(_ context.Context, m connector.Message, _ int) error {
		if string(m.Body) == "message 3" {
			return fmt.Errorf("%w: epoch 8 is known", connector.ErrFenced)
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 10)
	if err := r.wait(t); !errors.Is(err, connector.ErrFenced) {
		t.Fatalf("ended with %v", err)
	}
	if status := r.now(); status.State != connector.Fenced || status.Counts.Parked+status.Counts.Dropped+status.Counts.Failed != 0 {
		t.Errorf("%+v", status)
	}
	done := r.calls.succeeded()
	if !s.can(t).Redelivers {
		return
	}
	r = s.run(t, d, succeed, connector.Options{})
	r.all(t, slices.DeleteFunc(bodies, func(body string) bool { return slices.Contains(done, body) }))
	s.empty(t)
	r.end(t)
}

func remembered(t *testing.T, s *subject) {
	can := s.can(t)
	skipUnless(t, can.Redelivers, "redeliver")
	d := s.define(t)
	g := newGate()
	r := s.run(t, d, g.answer, connector.Options{})
	r.await(t, connector.Running)
	s.put(t, 1, 1)
	g.await(t)
	s.Stop(t)
	Eventually(t, "loss of the connection", func() bool { return r.now().State != connector.Running })
	s.Start(t)
	r.await(t, connector.Running)
	redelivered := func() { Eventually(t, "redelivery", func() bool { return r.now().Counts.Received == 2 }) }
	if d.Settings.InFlight() == 1 { // it receives it again only when its service is through with it
		close(g.open)
		redelivered()
	} else {
		redelivered()
		close(g.open)
	}
	s.empty(t)
	counts := r.end(t).Counts
	if !r.calls.of("message 1")[0].Stable {
		t.Skip("the message has no name by which it could be known")
	}
	if n := r.calls.count("message 1"); n != 1 || counts.Duplicates != 1 || counts.Unsettled != 1 {
		t.Errorf("%d calls, %+v", n, counts)
	}
}
