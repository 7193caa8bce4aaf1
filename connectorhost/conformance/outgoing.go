package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
)

var outgoingCases = []testCase{
	{"what is sent is there", sent},
	{"many may send at once", sentAtOnce},
	{"a send while there is no broker is refused and later ones pass", sentDown},
	{"a stopped sender refuses", sentStopped},
}

// sender is an outgoing connector under test.
type sender struct {
	*connector.Sender
	end func()
	now func() connector.Status
}

func (s *subject) send(t *testing.T) sender {
	t.Helper()
	fields := s.Outgoing(t)
	skipUnless(t, fields != nil, "send")
	maps.Copy(fields, map[string]any{"name": "sender", "kind": s.kind, "role": "outgoing"})
	d := decode(t, fields)
	r := &running{news: make(chan struct{}, 1)}
	out, err := connector.NewSender(d, connector.Options{Report: r.reported})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- out.Run(ctx) }()
	end := sync.OnceFunc(func() {
		stop()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(bound):
			t.Fatal("the sender does not end")
		}
	})
	t.Cleanup(end)
	r.await(t, connector.Running)
	return sender{out, end, r.now}
}

func trySend(o sender, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	return o.Send(ctx, connector.Message{ID: "sent-" + body, Body: []byte(body)})
}

func sent(t *testing.T, s *subject) {
	o := s.send(t)
	r := s.run(t, s.define(t), succeed, connector.Options{})
	r.await(t, connector.Running)
	must(t, trySend(o, "one"))
	must(t, trySend(o, "two"))
	r.all(t, []string{"one", "two"})
	r.end(t)
	o.end()
	if m := r.calls.of("one")[0]; m.Stable && m.ID != s.named("sent-one") {
		t.Errorf("came with the name %q", m.ID)
	}
	if counts := o.now().Counts; counts.Sent != 2 || counts.SendFailures != 0 {
		t.Errorf("%+v", counts)
	}
}

func sentAtOnce(t *testing.T, s *subject) {
	o := s.send(t)
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() {
			for j := range 25 {
				if err := trySend(o, fmt.Sprintf("%d/%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	o.end()
	if s.can(t).Redelivers {
		s.holds(t, 200)
	}
}

func sentDown(t *testing.T, s *subject) {
	o := s.send(t)
	must(t, trySend(o, "before"))
	s.Stop(t)
	Eventually(t, "loss of the connection", func() bool { return o.now().State != connector.Running })
	if err := trySend(o, "while"); !errors.Is(err, connector.ErrNotConnected) {
		t.Errorf("a send without a broker: %v", err)
	}
	s.Start(t)
	Eventually(t, "connection", func() bool { return o.now().State == connector.Running })
	must(t, trySend(o, "after"))
	o.end()
	if s.can(t).Redelivers {
		s.holds(t, 2)
	}
}

func sentStopped(t *testing.T, s *subject) {
	o := s.send(t)
	o.end()
	if err := trySend(o, "late"); !errors.Is(err, connector.ErrNotConnected) {
		t.Errorf("a send after the end: %v", err)
	}
}
