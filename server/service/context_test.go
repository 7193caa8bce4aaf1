package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestContextEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx := NewContext(t.Context(), Call{Deadline: start.Add(time.Second)})
		defer ctx.End()
		if deadline, set := ctx.Deadline(); !set || deadline != start.Add(time.Second) || ctx.Err() != nil {
			t.Errorf("deadline %v %v, error %v", deadline, set, ctx.Err())
		}
		<-ctx.Done()
		if took := time.Since(start); took != time.Second || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %v by %v", took, ctx.Err())
		}
	})
}

func TestContextEndsWithItsCallAndWithTheServer(t *testing.T) {
	over := NewContext(t.Context(), Call{})
	over.End()
	if !errors.Is(over.Err(), context.Canceled) {
		t.Errorf("after its call: %v", over.Err())
	}
	parent, stop := context.WithCancel(t.Context())
	ctx := NewContext(parent, Call{Deadline: time.Now().Add(time.Hour)})
	defer ctx.End()
	done := ctx.Done()
	stop()
	<-done
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("with the server: %v", ctx.Err())
	}
	early, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bounded := NewContext(early, Call{Deadline: time.Now().Add(time.Hour)})
	defer bounded.End()
	if deadline, _ := bounded.Deadline(); time.Until(deadline) > time.Minute {
		t.Errorf("the deadline is after its parent's: %v", deadline)
	}
}

func TestContextKnowsItsCall(t *testing.T) {
	var log bytes.Buffer
	ctx := NewContext(t.Context(), Call{
		CID: "K1", Service: "s", Channel: "c", Caller: "me", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	defer ctx.End()
	ctx.Logger().Info("hello", "n", 1)
	if !strings.Contains(log.String(), "msg=hello cid=K1 service=s n=1") {
		t.Errorf("logged %s", log.String())
	}
	if ctx.CID() != "K1" || ctx.Service() != "s" || ctx.Channel() != "c" || ctx.Caller() != "me" || ctx.Param("x") != "" {
		t.Errorf("%+v", ctx.call)
	}
	NewContext(t.Context(), Call{}).Logger().Info("into nothing")
}

type outgoings map[string]Outgoing

func (o outgoings) Outgoing(kind, name string) Outgoing { return o[kind+"/"+name] }

type mailbox []string

func (m *mailbox) Send(_ context.Context, message Message) error {
	*m = append(*m, string(message.Payload))
	return nil
}

func TestOutgoingThatThereIsNotIsUnavailable(t *testing.T) {
	var sent mailbox
	ctx := NewContext(t.Context(), Call{Outgoing: outgoings{"amqp/orders": &sent}})
	if err := ctx.Outgoing("amqp", "orders").Send(ctx, Message{Payload: []byte("hi")}); err != nil || len(sent) != 1 {
		t.Errorf("%v, sent %q", err, sent)
	}
	for _, without := range []*Context{ctx, NewContext(t.Context(), Call{})} {
		kind, details := Classify(without.Outgoing("zmq", "x").Send(without, Message{}))
		if kind != Unavailable || details != `there is no outgoing zmq connection "x"` {
			t.Errorf("%v %s", kind, details)
		}
	}
}

func TestTraces(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct {
		header string
		found  bool
	}{
		{good, true},
		{strings.Replace(good, "-01", "-00", 1), true},
		{"cc" + good[2:] + "-what-the-future-holds", true},
		{"cc" + good[2:], true},
		{"", false},
		{good + "-more", false},
		{"cc" + good[2:] + "more", false},
		{"ff" + good[2:], false},
		{strings.ToUpper(good), false},
		{strings.Replace(good, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1), false},
		{strings.Replace(good, "00f067aa0ba902b7", strings.Repeat("0", 16), 1), false},
		{strings.Replace(good, "4b", "4g", 1), false},
		{strings.ReplaceAll(good, "-", "_"), false},
	} {
		trace, found := ParseTrace(c.header)
		if found != c.found || found == trace.IsZero() {
			t.Errorf("%q: found %v, %v", c.header, found, trace)
			continue
		}
		if !found {
			continue
		}
		child := trace.Child()
		again, found := ParseTrace(child.String())
		if !found || again != child || child.id != trace.id || child.span == trace.span || child.Sampled() != trace.Sampled() {
			t.Errorf("%q: the child is %v", c.header, child)
		}
	}
	if trace, _ := ParseTrace(good); trace.String() != good || !trace.Sampled() {
		t.Errorf("%v", trace)
	}
	trace, _ := ParseTrace(good)
	for state, kept := range map[string]bool{
		"a=1,b@c=2": true, "a=\t1": true, strings.Repeat("x", 512): true, strings.Repeat("x", 513): false, "a=\n": false, "a=é": false,
	} {
		if got := trace.WithState(state).Child(); (got.State() == state) != kept || !kept && got.State() != "" {
			t.Errorf("the state %q is passed on as %q", state, got.State())
		}
	}
	if got := (Trace{}).WithState("a=1"); !got.IsZero() || got.State() != "" {
		t.Errorf("no trace has the state %q", got.State())
	}
	derived, cancel := context.WithCancel(NewContext(t.Context(), Call{Trace: trace}))
	defer cancel()
	if TraceOf(derived) != trace || !TraceOf(t.Context()).IsZero() {
		t.Error("the trace of a context is lost")
	}
	if got := (Trace{}).String(); got != "" {
		t.Errorf("no trace is %q", got)
	}
}

func TestDemoServices(t *testing.T) {
	registry := NewRegistry()
	echo, _ := registry.Lookup("demo.echo")
	ctx := NewContext(t.Context(), Call{})
	if got, err := echo(ctx, Request{ContentType: "text/x", Payload: []byte("hi")}); err != nil || string(got.Payload) != "hi" || got.ContentType != "text/x" {
		t.Errorf("echo: %+v, %v", got, err)
	}
	sleep, _ := registry.Lookup("demo.sleep")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, err := sleep(NewContext(t.Context(), Call{}), Request{Payload: []byte(`{"ms": 1500}`)})
		if err != nil || time.Since(start) != 1500*time.Millisecond || string(got.Payload) != `{"ms":1500}` {
			t.Errorf("sleep: %s, %v after %v", got.Payload, err, time.Since(start))
		}
		_, err = sleep(NewContext(t.Context(), Call{Deadline: time.Now().Add(time.Second)}), Request{Payload: []byte(`{"ms": 1500}`)})
		if kind, _ := Classify(err); kind != Timeout {
			t.Errorf("sleep beyond the deadline: %v", err)
		}
	})
	for _, bad := range []string{`{"ms": 60001}`, `{"ms": -1}`, `{"seconds": 1}`} {
		if kind, _ := Classify(second(sleep(ctx, Request{Payload: []byte(bad)}))); kind != BadRequest {
			t.Errorf("sleep %s: %v", bad, kind)
		}
	}
	if got := (Headers{{"A", "1"}, {"B", "2"}}); got.Get("b") != "2" || got.Get("c") != "" {
		t.Error("headers")
	}
}

func TestDemoServicesThatShowMessages(t *testing.T) {
	var log bytes.Buffer
	var sent mailbox
	ctx := NewContext(t.Context(), Call{Channel: "ticks", Logger: slog.New(slog.NewTextHandler(&log, nil)), Outgoing: outgoings{"zmq/out": &sent}})
	registry := NewRegistry()
	note, _ := registry.Lookup("demo.log")
	long := strings.Repeat("x", longestNote) + "unseen"
	if got, err := note(ctx, Request{Payload: []byte(long)}); err != nil || string(got.Payload) != long {
		t.Errorf("%+v, %v", got, err)
	}
	if text := log.String(); !strings.Contains(text, "channel=ticks bytes=1006 payload=xxx") || strings.Contains(text, "unseen") {
		t.Errorf("logged %s", text)
	}
	send, _ := registry.Lookup("demo.send")
	for body, want := range map[string]Kind{
		`{"kind": "zmq", "name": "out", "payload": "hi"}`:  -1,
		`{"kind": "amqp", "name": "out", "payload": "hi"}`: Unavailable,
		`{"kind": "zmq", "payload": "hi"}`:                 BadRequest,
	} {
		_, err := send(ctx, Request{Payload: []byte(body)})
		if kind, _ := Classify(err); (want == -1) != (err == nil) || err != nil && kind != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	if len(sent) != 1 || sent[0] != "hi" {
		t.Errorf("sent %q", sent)
	}
}
