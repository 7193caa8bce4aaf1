package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
)

var channelCases = []testCase{
	{"every message reaches the service once", delivered},
	{"a message keeps its bytes and its name", intact},
	{"a service that fails is tried again", triedAgain},
	{"poison is parked or dropped after exactly max_attempts", poison},
	{"an unfit message is parked or dropped at once", unfit},
	{"a service that is not reached does not count", unreached},
	{"a stop finishes what is in flight", finishes},
	{"a stop without patience gives back", givesBack},
	{"a message above the limit is parked or dropped and the next passes", limited},
	{"order is kept, also round a message that fails", ordered},
	{"it stands ready until it may begin", prepared},
	{"it waits for the exclusive hold and takes it over", exclusive},
}

func delivered(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), succeed, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 50)
	r.all(t, bodies)
	if s.can(t).Redelivers {
		s.empty(t)
	}
	counts := r.end(t).Counts
	if counts.Received != 50 || counts.Accepted != 50 || counts.Failed+counts.Parked+counts.Dropped+counts.GivenBack+counts.Unsettled != 0 {
		t.Errorf("%+v", counts)
	}
	for _, body := range bodies {
		if n := r.calls.count(body); n != 1 {
			t.Errorf("%s: %d calls", body, n)
		}
	}
}

func intact(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), succeed, connector.Options{})
	r.await(t, connector.Running)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := []string{string(every), strings.Repeat("x", 1<<20), ""}
	for i, body := range bodies {
		s.Put(t, fmt.Sprintf("name-%d", i), []byte(body))
	}
	r.all(t, bodies)
	r.end(t)
	for i, body := range bodies {
		m := r.calls.of(body)[0]
		if m.ID == "" || m.Stable && m.ID != s.named(fmt.Sprintf("name-%d", i)) || m.Redelivered || m.Attempt != 1 {
			t.Errorf("%d bytes: ID %q (stable: %v), redelivered %v, attempt %d", len(body), m.ID, m.Stable, m.Redelivered, m.Attempt)
		}
	}
}

func triedAgain(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), func(_ context.Context, _ connector.Message, n int) error {
		if n < maxAttempts {
			return errService
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 5)
	r.all(t, bodies)
	if s.can(t).Redelivers {
		s.empty(t)
	}
	counts := r.end(t).Counts
	if counts.Accepted != 5 || counts.Failed != 5*(maxAttempts-1) || counts.Parked+counts.Dropped != 0 {
		t.Errorf("%+v", counts)
	}
	for _, body := range bodies {
		messages := r.calls.of(body)
		if len(messages) != maxAttempts {
			t.Errorf("%s: %d calls", body, len(messages))
		}
		for _, m := range messages {
			if m.Stable && m.ID != messages[0].ID {
				t.Errorf("%s: called %s, and later %s", body, messages[0].ID, m.ID)
			}
		}
	}
}

func poison(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), func(_ context.Context, m connector.Message, _ int) error {
		if string(m.Body) == "message 4" {
			return errService
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 10)
	r.all(t, slices.DeleteFunc(slices.Clone(bodies), func(body string) bool { return body == "message 4" }))
	Eventually(t, "verdict", func() bool { return r.calls.count("message 4") == maxAttempts && s.aside(t, r) == 1 })
	pass()
	counts := r.end(t).Counts
	if s.aside(t, r) != 1 || counts.Failed != maxAttempts || counts.Accepted != 9 {
		t.Errorf("%+v", counts)
	}
	for _, body := range bodies {
		want := 1
		if body == "message 4" {
			want = maxAttempts
		}
		if n := r.calls.count(body); n != want {
			t.Errorf("%s: %d calls, want %d", body, n, want)
		}
	}
	s.parked(t, "message 4", errService.Error())
}

// aside is how many messages were parked by a kind that can, and dropped by one that cannot. It wants none to be called
// the other.
func (s *subject) aside(t *testing.T, r *running) int64 {
	t.Helper()
	counts := r.now().Counts
	aside, other := counts.Dropped, counts.Parked
	if s.can(t).DeadLetter {
		aside, other = other, aside
	}
	if other != 0 {
		t.Errorf("of a kind with %+v: %+v", s.can(t), counts)
	}
	return aside
}

// parked wants one message to be parked, for a reason, and the queue to be empty.
func (s *subject) parked(t *testing.T, body, reason string) {
	t.Helper()
	if s.can(t).Redelivers {
		s.empty(t)
	}
	if !s.can(t).DeadLetter {
		return
	}
	var parked []Parked
	Eventually(t, "parked message", func() bool {
		parked = append(parked, s.Parked(t)...)
		return len(parked) > 0
	})
	if len(parked) != 1 || string(parked[0].Body) != body || !strings.Contains(parked[0].Reason, reason) {
		t.Errorf("parked are %.200q, want one of %d bytes for %q", parked, len(body), reason)
	}
}

func unfit(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), func(_ context.Context, m connector.Message, _ int) error {
		if string(m.Body) == "message 1" {
			return fmt.Errorf("%w: too strange", connector.ErrUnfit)
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	s.put(t, 1, 2)
	r.all(t, []string{"message 2"})
	Eventually(t, "verdict", func() bool { return s.aside(t, r) == 1 })
	r.end(t)
	if n := r.calls.count("message 1"); n != 1 {
		t.Errorf("%d calls", n)
	}
	s.parked(t, "message 1", "too strange")
}

func unreached(t *testing.T, s *subject) {
	r := s.run(t, s.define(t), func(_ context.Context, m connector.Message, n int) error {
		if n <= 2*maxAttempts {
			return fmt.Errorf("%w: nobody there", connector.ErrUnavailable)
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 1)
	if blocked := r.await(t, connector.Blocked); !strings.Contains(blocked.Reason, "nobody there") {
		t.Errorf("%+v", blocked)
	}
	r.all(t, bodies)
	r.await(t, connector.Running)
	if s.can(t).Redelivers {
		s.empty(t)
	}
	counts := r.end(t).Counts
	if counts.Accepted != 1 || counts.Failed != 0 || counts.Parked+counts.Dropped != 0 || counts.Unavailable != 2*maxAttempts {
		t.Errorf("%+v", counts)
	}
}

// gate is a service that lets calls wait until it is opened.
type gate struct{ entered, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1000), make(chan struct{})} }

func (g gate) answer(ctx context.Context, _ connector.Message, _ int) error {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", connector.ErrUnavailable, ctx.Err())
	}
}

func (g gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.entered:
	case <-time.After(bound):
		t.Fatal("the service is not called")
	}
}

func finishes(t *testing.T, s *subject) {
	g := newGate()
	r := s.run(t, s.define(t), g.answer, connector.Options{Drain: bound})
	r.await(t, connector.Running)
	s.put(t, 1, 1)
	g.await(t)
	r.stop()
	r.await(t, connector.Draining)
	close(g.open)
	counts := r.end(t).Counts
	if counts.Accepted != 1 || counts.GivenBack+counts.Unsettled != 0 {
		t.Errorf("%+v", counts)
	}
	if s.can(t).Redelivers {
		s.empty(t)
	}
}

func givesBack(t *testing.T, s *subject) {
	skipUnless(t, s.can(t).Redelivers, "redeliver")
	g := newGate()
	r := s.run(t, s.define(t), g.answer, connector.Options{Drain: moment})
	r.await(t, connector.Running)
	s.put(t, 1, 1)
	g.await(t)
	if counts := r.end(t).Counts; counts.Accepted != 0 {
		t.Errorf("%+v", counts)
	}
	s.holds(t, 1)
	first := r.calls.of("message 1")[0]
	r = s.run(t, s.define(t), succeed, connector.Options{})
	r.all(t, []string{"message 1"})
	s.empty(t)
	r.end(t)
	if m := r.calls.of("message 1")[0]; !m.Redelivered || m.Stable && m.ID != first.ID {
		t.Errorf("redelivered: %v, ID %s, was %s", m.Redelivered, m.ID, first.ID)
	}
}

func limited(t *testing.T, s *subject) {
	limit := s.Limited(1000)
	skipUnless(t, limit != nil, "limit the size of messages")
	r := s.run(t, s.define(t, limit), succeed, connector.Options{})
	r.await(t, connector.Running)
	whole, over := string(bytes.Repeat([]byte("a"), 1000)), string(bytes.Repeat([]byte("b"), 1001))
	for i, body := range []string{whole, over, "next"} {
		s.Put(t, fmt.Sprint("size-", i), []byte(body))
	}
	r.all(t, []string{whole, "next"})
	if s.can(t).DeadLetter {
		s.parked(t, over, "1000")
	}
	r.end(t)
	if n := r.calls.count(over); n != 0 {
		t.Errorf("the service was called %d times with a message above the limit", n)
	}
}

func ordered(t *testing.T, s *subject) {
	fields := s.Ordered()
	d := s.define(t, fields)
	skipUnless(t, d.Settings.Capabilities().Ordered, "keep order")
	r := s.run(t, d, func(_ context.Context, m connector.Message, n int) error {
		if strings.HasSuffix(string(m.Body), "7") && n < maxAttempts {
			return errService
		}
		return nil
	}, connector.Options{})
	r.await(t, connector.Running)
	bodies := s.put(t, 1, 60)
	r.all(t, bodies)
	r.end(t)
	if done := r.calls.succeeded(); !slices.Equal(done, bodies) {
		t.Errorf("came as %q", done)
	}
}

func prepared(t *testing.T, s *subject) {
	skipUnless(t, s.can(t).Prepare, "prepare while another consumes")
	old := s.run(t, s.define(t), succeed, connector.Options{})
	old.await(t, connector.Running)
	begin := make(chan struct{})
	next := s.run(t, s.define(t), succeed, connector.Options{Begin: begin})
	next.await(t, connector.Prepared)
	bodies := s.put(t, 1, 20)
	old.all(t, bodies)
	old.end(t)
	if s.can(t).Redelivers {
		more := s.put(t, 21, 1)
		pass()
		if n := len(next.calls.succeeded()); n != 0 {
			t.Errorf("took %d messages before its time", n)
		}
		close(begin)
		next.all(t, more)
		s.empty(t)
	} else {
		close(begin)
		next.await(t, connector.Running)
		Eventually(t, "message", func() bool { // what is sent to one that has just ended may be lost
			return slices.Contains(next.calls.succeeded(), s.put(t, 21, 1)[0])
		})
	}
	next.end(t)
}

func exclusive(t *testing.T, s *subject) {
	d := s.define(t, s.Exclusive())
	skipUnless(t, d.Settings.Capabilities().Exclusive, "be exclusive")
	first := s.run(t, d, succeed, connector.Options{})
	first.await(t, connector.Running)
	first.all(t, s.put(t, 1, 5))
	second := s.run(t, d, succeed, connector.Options{})
	Eventually(t, "second in line", func() bool {
		return slices.Contains([]connector.State{connector.Waiting, connector.Running}, second.now().State)
	})
	pass()
	first.all(t, s.put(t, 6, 20))
	if n := len(second.calls.succeeded()); n != 0 {
		t.Errorf("the second took %d messages", n)
	}
	first.end(t)
	second.all(t, s.put(t, 26, 5))
	second.await(t, connector.Running)
	s.empty(t)
	second.end(t)
}
