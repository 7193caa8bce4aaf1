//go:build ibmmq && cgo

package mqi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/ibmmq/testqm"
)

// channel is a running channel, and how its service was called.
type channel struct {
	stop func()
	done chan error

	mu     sync.Mutex
	status connector.Status
	seen   []connector.State
	calls  []connector.Message
}

// run runs a channel until the end of the test, or until it is stopped.
func run(t *testing.T, d *connector.Definition, service func(connector.Message) error) *channel {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &channel{stop: stop, done: make(chan error, 1)}
	invoker := connector.InvokerFunc(func(_ context.Context, m connector.Message) error {
		c.mu.Lock()
		c.calls = append(c.calls, m)
		c.mu.Unlock()
		return service(m)
	})
	go func() {
		c.done <- connector.Run(ctx, d, invoker, connector.Options{Report: func(s connector.Status) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.status, c.seen = s, append(c.seen, s.State)
		}})
	}()
	t.Cleanup(func() {
		stop()
		must(t, <-c.done)
	})
	return c
}

func (c *channel) now() connector.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func (c *channel) called() []connector.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func (c *channel) await(t *testing.T, state connector.State) connector.Status {
	t.Helper()
	conformance.Eventually(t, "state "+string(state), func() bool { return c.now().State == state })
	return c.now()
}

func succeed(connector.Message) error { return nil }

func idOf(n byte) (id [24]byte) {
	id[0], id[23] = 'z', n
	return id
}

func TestACommitThatFailedIsNotForgotten(t *testing.T) {
	for name, test := range map[string]struct {
		fault      testqm.Fault
		redelivers bool
	}{
		"broken before it":                {testqm.Fault{Call: "MQCMIT", Reason: 2009}, true},
		"broken after it":                 {testqm.Fault{Call: "MQCMIT", Reason: 2009, After: true}, false},
		"backed out by the queue manager": {testqm.Fault{Call: "MQCMIT", Reason: 2003}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, testqm.Config{})
			c := run(t, define(t, connector.Channel, fieldsOf(m)), succeed)
			c.await(t, connector.Running)
			m.Inject(test.fault)
			m.Put(queueName, idOf(1), []byte("one"))
			conformance.Eventually(t, "end of the message", func() bool { return c.now().Counts.Unsettled == 1 })
			m.Put(queueName, idOf(2), []byte("two"))
			conformance.Eventually(t, "empty queue", func() bool { return m.Depth(queueName) == 0 && len(c.called()) >= 2 })
			conformance.Eventually(t, "counts", func() bool { return c.now().Counts.Accepted >= 1 })
			if duplicates := c.now().Counts.Duplicates; test.redelivers && duplicates != 1 {
				t.Errorf("%d duplicates: %+v", duplicates, c.now().Counts)
			}
			if calls := c.called(); len(calls) != 2 || string(calls[1].Body) != "two" {
				t.Errorf("%d calls", len(calls))
			}
		})
	}
}

func TestEveryMQDISCComesAfterAnMQBACK(t *testing.T) {
	m := start(t, testqm.Config{})
	source, err := connectSource(t, fieldsOf(m))
	must(t, err)
	must(t, source.Start(limited(t)))
	m.Put(queueName, idOf(1), []byte("one"))
	first, err := source.Receive(limited(t))
	must(t, err)
	must(t, source.Close(limited(t)))
	if depth := m.Depth(queueName); depth != 1 {
		t.Errorf("%d messages in the queue", depth)
	}
	journal := m.Journal()
	if n := len(journal); n < 2 || journal[n-1] != "MQDISC  0" || journal[n-2] != "MQBACK  0" {
		t.Errorf("ended by %q", journal)
	}
	if err := first.Settle(limited(t), connector.Accept, connector.Outcome{}); !errors.Is(err, connector.ErrNotConnected) {
		t.Errorf("settled on a connection that is closed: %v", err)
	}
	must(t, source.Connect(limited(t)))
	must(t, source.Start(limited(t)))
	second, err := source.Receive(limited(t))
	must(t, err)
	if second.ID != first.ID || !second.Redelivered || second.Attempt != 2 || first.Redelivered || first.Attempt != 1 {
		t.Errorf("%+v, then %+v", first.Message, second.Message)
	}
}

func TestWhatCannotBeBackedOutIsNotCommitted(t *testing.T) {
	for name, fault := range map[string]testqm.Fault{
		"it fails once":                {Reason: 2102, Times: 1},
		"it always fails":              {Reason: 2102, Times: 100},
		"it fails as if all were lost": {Reason: 2195, Times: 100},
		"the connection breaks":        {Reason: 2009},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, testqm.Config{})
			source, err := connectSource(t, fieldsOf(m))
			must(t, err)
			must(t, source.Start(limited(t)))
			m.Put(queueName, idOf(1), []byte("one"))
			d, err := source.Receive(limited(t))
			must(t, err)
			fault.Call = "MQBACK"
			m.Inject(fault)
			if err := d.Settle(limited(t), connector.GiveBack, connector.Outcome{}); !errors.Is(err, connector.ErrNotConnected) {
				t.Errorf("%v", err)
			}
			if err := source.Close(limited(t)); fault.Times > 1 && err == nil {
				t.Error("closed well")
			}
			m.Break() // as the end of our process would
			conformance.Eventually(t, "message at its place", func() bool { return m.Connections() == 0 && len(m.Take(queueName)) == 1 })
		})
	}
}

func TestAQueueThatGivesNothingIsWaitedFor(t *testing.T) {
	m := start(t, testqm.Config{})
	m.Define(queueName, testqm.Queue{BackoutQueue: backoutName, GetInhibited: true})
	c := run(t, define(t, connector.Channel, fieldsOf(m)), succeed)
	if blocked := c.await(t, connector.Blocked); !strings.Contains(blocked.Reason, "2016") || !strings.Contains(blocked.Reason, "GET(ENABLED)") {
		t.Errorf("%+v", blocked)
	}
	m.Put(queueName, idOf(1), []byte("one"))
	m.Define(queueName, testqm.Queue{BackoutQueue: backoutName})
	conformance.Eventually(t, "message", func() bool { return c.now().Counts.Accepted == 1 })
	if s := c.await(t, connector.Running); s.Counts.Disconnects != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAQuiescingQueueManagerIsLeft(t *testing.T) {
	m := start(t, testqm.Config{})
	c := run(t, define(t, connector.Channel, fieldsOf(m)), succeed)
	c.await(t, connector.Running)
	m.Quiesce()
	if down := c.await(t, connector.BackingOff); !strings.Contains(down.Reason, "2161") {
		t.Errorf("%+v", down)
	}
	m.Stop()
	must(t, m.Start())
	m.Put(queueName, idOf(1), []byte("one"))
	conformance.Eventually(t, "message", func() bool { return c.now().Counts.Accepted == 1 })
}

func TestAMessageThatCannotBeParkedComesAgain(t *testing.T) {
	for name, test := range map[string]struct {
		backout testqm.Queue
		fault   testqm.Fault
	}{
		"the backout queue is full":       {backout: testqm.Queue{MaxDepth: 1}},
		"the backout queue takes nothing": {backout: testqm.Queue{PutInhibited: true}},
		"its commit fails":                {fault: testqm.Fault{Call: "MQCMIT", Reason: 2009}},
		"its put breaks the connection":   {fault: testqm.Fault{Call: "MQPUT", Reason: 2009}},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, testqm.Config{})
			m.Define(backoutName, test.backout)
			m.Put(backoutName, idOf(9), []byte("other"))
			if test.fault.Call != "" {
				m.Inject(test.fault)
			}
			c := run(t, define(t, connector.Channel, fieldsOf(m), "max_message_bytes", 3), succeed)
			m.Put(queueName, idOf(1), []byte("poison"))
			conformance.Eventually(t, "failure to park", func() bool { return c.now().Counts.Unsettled >= 1 })
			m.Define(backoutName, testqm.Queue{})
			conformance.Eventually(t, "parked message", func() bool { return m.Depth(queueName) == 0 && c.now().Counts.Parked == 1 })
			parked := m.Take(backoutName)
			if len(parked) != 2 || string(parked[1].Body) != "poison" || parked[1].ID != idOf(1) {
				t.Errorf("%d messages are parked", len(parked))
			}
			if calls := len(c.called()); calls != 0 {
				t.Errorf("%d calls with an unfit message", calls)
			}
		})
	}
}

func TestAParkedMessageIsAsItWas(t *testing.T) {
	m := start(t, testqm.Config{User: "zatoha", Password: "p"})
	fields := fieldsOf(m)
	fields["user"], fields["password"] = "zatoha", "p"
	c := run(t, define(t, connector.Channel, fields), func(connector.Message) error { return fmt.Errorf("no such customer") })
	m.Put(queueName, idOf(1), []byte("poison"))
	conformance.Eventually(t, "parked message", func() bool { return m.Depth(backoutName) == 1 && c.now().Counts.Parked == 1 })
	parked := m.Take(backoutName)[0]
	if parked.ID != idOf(1) || string(parked.Body) != "poison" || !parked.Persistent || parked.Expiry != -1 || parked.UserIdentifier != "zatoha" {
		t.Errorf("%+v", parked)
	}
	for property, want := range map[string]string{
		"zatoha_reason": "no such customer", "zatoha_attempts": "3", "zatoha_connector": "subject", "zatoha_service": "order.new",
		"zatoha_queue": queueName, "zatoha_user": "tester",
	} {
		if got := parked.Text(property); got != want {
			t.Errorf("%s is %q, want %q", property, got, want)
		}
	}
	calls := c.called()
	if len(calls) != 3 || calls[0].Attempt != 1 || calls[2].Attempt != 3 || !calls[2].Redelivered || calls[0].Properties["user_id"] != "tester" {
		t.Errorf("%+v", calls)
	}
}

func TestAParkedMessageKeepsItsDescriptorAndProperties(t *testing.T) {
	m := start(t, testqm.Config{})
	message := &testqm.Message{
		ID: idOf(1), CorrelID: idOf(2), Body: []byte("a request"), Format: "MQSTR", Type: 1, Persistent: false, Priority: 5, Expiry: 9000,
		ReplyToQ: "ANSWERS", ReplyToQMgr: "QM2", CCSID: 500, UserIdentifier: "joe",
		Properties: []testqm.Property{{Name: "colour", Type: 1024, Value: []byte("red")}},
	}
	m.Add(queueName, message)
	c := run(t, define(t, connector.Channel, fieldsOf(m)), func(connector.Message) error { return connector.ErrUnfit })
	conformance.Eventually(t, "parked message", func() bool { return m.Depth(backoutName) == 1 })
	got := m.Take(backoutName)[0]
	if got.ID != message.ID || got.CorrelID != message.CorrelID || got.Format != "MQSTR" || got.Type != 1 || got.Priority != 5 ||
		got.ReplyToQ != "ANSWERS" || got.ReplyToQMgr != "QM2" || got.CCSID != 1208 {
		t.Errorf("%+v", got)
	}
	if !got.Persistent || got.Expiry != -1 || got.Text("zatoha_expiry") == "" || got.Text("colour") != "red" {
		t.Errorf("%+v", got)
	}
	called := c.called()[0]
	for property, want := range map[string]string{
		"reply_to": "ANSWERS@QM2", "format": "MQSTR", "priority": "5", "user_id": "joe", "correlation_id": fmt.Sprintf("%x", message.CorrelID),
	} {
		if called.Properties[property] != want {
			t.Errorf("%s is %q, want %q", property, called.Properties[property], want)
		}
	}
}

// The first buffer has 64 KiB.
func TestATextComesInUTF8HoweverMuchItGrows(t *testing.T) {
	m := start(t, testqm.Config{})
	c := run(t, define(t, connector.Channel, fieldsOf(m)), func(connector.Message) error { return nil })
	for i, text := range []string{"naïve", strings.Repeat("é", 40_000), strings.Repeat("x", 70_000) + "é", strings.Repeat("é", 100_000)} {
		var latin []byte
		for _, r := range text {
			latin = append(latin, byte(r))
		}
		m.Add(queueName, &testqm.Message{ID: idOf(byte(i + 1)), Body: latin, Format: "MQSTR", Type: 8, Persistent: true, Expiry: -1, CCSID: 819})
		conformance.Eventually(t, "received", func() bool { return len(c.called()) == i+1 })
		if got := c.called()[i]; string(got.Body) != text || got.Properties["ccsid"] != "" {
			t.Errorf("a text of %d bytes came as %d bytes, in character set %q", len(text), len(got.Body), got.Properties["ccsid"])
		}
	}
}

func TestABackoutCountOutlivesTheProcess(t *testing.T) {
	m := start(t, testqm.Config{})
	m.Put(queueName, idOf(1), []byte("poison"))
	for attempt := 1; attempt <= 2; attempt++ {
		source, err := connectSource(t, fieldsOf(m))
		must(t, err)
		must(t, source.Start(limited(t)))
		d, err := source.Receive(limited(t))
		must(t, err)
		if d.Attempt != attempt {
			t.Errorf("attempt %d, want %d", d.Attempt, attempt)
		}
		m.Break() // as a crash would
		must(t, source.Close(limited(t)))
		conformance.Eventually(t, "message at its place", func() bool { return m.Connections() == 0 })
	}
	c := run(t, define(t, connector.Channel, fieldsOf(m)), func(connector.Message) error { return errors.New("no") })
	conformance.Eventually(t, "parked message", func() bool { return m.Depth(backoutName) == 1 })
	if calls := c.called(); len(calls) != 1 || calls[0].Attempt != 3 {
		t.Errorf("%+v", calls)
	}
}
