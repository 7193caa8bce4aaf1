//go:build ibmmq && cgo

package mqi

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/ibmmq/testqm"
)

// runSender runs an outgoing connector until the end of the test.
func runSender(t *testing.T, m *testqm.Manager, more ...any) *connector.Sender {
	t.Helper()
	running := make(chan struct{}, 100)
	sender, err := connector.NewSender(define(t, connector.Outgoing, fieldsOf(m), more...), connector.Options{Report: func(s connector.Status) {
		if s.State == connector.Running {
			running <- struct{}{}
		}
	}})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-done)
	})
	select {
	case <-running:
	case <-time.After(bound):
		t.Fatal("the sender does not run")
	}
	return sender
}

func TestABrokenCommitHasAnUnknownOutcome(t *testing.T) {
	for name, after := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			m := start(t, testqm.Config{})
			sender := runSender(t, m)
			m.Inject(testqm.Fault{Call: "MQCMIT", Reason: 2009, After: after})
			message := connector.Message{ID: "order-1", Body: []byte("one")}
			err := sender.Send(limited(t), message)
			if !errors.Is(err, connector.ErrNotConnected) || !strings.Contains(err.Error(), "outcome is unknown") || !strings.Contains(err.Error(), "2009") {
				t.Fatalf("%v", err)
			}
			conformance.Eventually(t, "second attempt that succeeds", func() bool { return sender.Send(limited(t), message) == nil })
			sent := m.Take(queueName)
			want := 1
			if after {
				want = 2
			}
			if len(sent) != want || sent[0].ID != sent[len(sent)-1].ID {
				t.Errorf("%d messages, want %d, with one name", len(sent), want)
			}
		})
	}
}

func TestAQueueThatTakesNothingIsNoLostConnection(t *testing.T) {
	m := start(t, testqm.Config{})
	sender := runSender(t, m, "pool_size", 2)
	connections := m.Connections()
	for reason, queue := range map[string]testqm.Queue{"2053": {MaxDepth: 1}, "2051": {PutInhibited: true}} {
		m.Define(queueName, queue)
		m.Put(queueName, idOf(1), []byte("first"))
		err := sender.Send(limited(t), connector.Message{Body: []byte("second")})
		if !errors.Is(err, connector.ErrBackOff) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", reason, err)
		}
		m.Take(queueName)
	}
	m.Define(queueName, testqm.Queue{MaxMsgLength: 10})
	if err := sender.Send(limited(t), connector.Message{Body: make([]byte, 11)}); !errors.Is(err, connector.ErrUnfit) || !strings.Contains(err.Error(), "2030") {
		t.Errorf("%v", err)
	}
	m.Inject(testqm.Fault{Call: "MQCMIT", Reason: 2003})
	if err := sender.Send(limited(t), connector.Message{Body: []byte("x")}); !errors.Is(err, connector.ErrBackOff) || strings.Contains(err.Error(), "unknown") {
		t.Errorf("%v", err)
	}
	m.Take(queueName)
	must(t, sender.Send(limited(t), connector.Message{Body: []byte("third")}))
	if n := m.Connections(); n != connections {
		t.Errorf("%d connections, were %d", n, connections)
	}
}

func TestASentMessageIsAsDefined(t *testing.T) {
	m := start(t, testqm.Config{})
	sender := runSender(t, m, "priority", 7, "expiration", "60000", "reply_to", "ANSWERS@QM2", "delivery_mode", 1, "data_format", "json")
	must(t, sender.Send(limited(t), connector.Message{ID: strings.Repeat("0f", 24), Body: []byte("{}")}))
	sent := m.Take(queueName)
	if len(sent) != 1 {
		t.Fatalf("%d messages", len(sent))
	}
	got := sent[0]
	if got.Priority != 7 || got.Expiry != 600 || got.ReplyToQ != "ANSWERS" || got.ReplyToQMgr != "QM2" || got.Persistent || got.Format != "MQSTR" ||
		got.CCSID != 1208 || got.ID[0] != 0x0f || got.ID[23] != 0x0f {
		t.Errorf("%+v", got)
	}
}

func TestASenderThatGivesUpBreaksNothing(t *testing.T) {
	m := start(t, testqm.Config{})
	sender := runSender(t, m)
	hold := make(chan struct{})
	m.Inject(testqm.Fault{Call: "MQPUT", Hold: hold})
	ctx, cancel := context.WithTimeout(limited(t), 30*time.Millisecond)
	defer cancel()
	err := sender.Send(ctx, connector.Message{Body: []byte("slow")})
	if !errors.Is(err, connector.ErrBackOff) || !strings.Contains(err.Error(), "may have been sent") {
		t.Errorf("%v", err)
	}
	close(hold)
	must(t, sender.Send(limited(t), connector.Message{Body: []byte("next")}))
	conformance.Eventually(t, "both messages", func() bool { return m.Depth(queueName) == 2 })
	if n := m.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAnIdleSenderNoticesThatTheQueueManagerIsGone(t *testing.T) {
	m := start(t, testqm.Config{})
	sender := runSender(t, m)
	m.Break()
	conformance.Eventually(t, "new connection", func() bool {
		return m.Connections() == 1 && sender.Send(limited(t), connector.Message{Body: []byte("x")}) == nil
	})
}
