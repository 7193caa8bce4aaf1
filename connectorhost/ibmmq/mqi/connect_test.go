//go:build ibmmq && cgo

package mqi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/ibmmq/testqm"
)

// connectSource connects a channel, and closes it at the end.
func connectSource(t *testing.T, fields map[string]any, more ...any) (connector.Source, error) {
	t.Helper()
	source := define(t, connector.Channel, fields, more...).Settings.Source(environment())
	err := source.Connect(limited(t))
	t.Cleanup(func() { source.Close(limited(t)) })
	return source, err
}

func TestARefusedConnectionSaysWhy(t *testing.T) {
	m := start(t, testqm.Config{User: "zatoha", Password: "s3cret"})
	good := []any{"user", "zatoha", "password", "s3cret"}
	for _, test := range []struct {
		name  string
		more  []any
		fault int32 // at MQCONNX
		class error
		want  []string
	}{
		{name: "a wrong password", more: []any{"user", "zatoha", "password", "wrong"}, class: connector.ErrRefused, want: []string{"2035", "password"}},
		{name: "no password", class: connector.ErrRefused, want: []string{"2035"}},
		{
			name: "a secret that is not there", more: []any{"user", "zatoha", "password", "${env:ZATOHA_NOT_SET}"},
			class: connector.ErrRefused, want: []string{"ZATOHA_NOT_SET"},
		},
		{name: "another queue manager", more: append(good, "queue_manager", "QM9"), class: connector.ErrRefused, want: []string{"2058", "queue_manager"}},
		{name: "an unknown channel", more: append(good, "channel", "OTHER"), class: connector.ErrRefused, want: []string{"2540", "SVRCONN"}},
		{name: "an unknown queue", more: append(good, "queue", "NONE"), class: connector.ErrRefused, want: []string{"2085", "NONE"}},
		{name: "an unknown backout queue", more: append(good, "backout_queue", "NONE"), class: connector.ErrRefused, want: []string{"2085", `backout queue "NONE"`}},
		{name: "a queue manager that is not there", more: good, fault: 2059, class: connector.ErrNotConnected, want: []string{"2059"}},
		{name: "a channel that is stopped", more: good, fault: 2537, class: connector.ErrNotConnected, want: []string{"2537", "MAXINST"}},
		{name: "a queue manager that is quiescing", more: good, fault: 2161, class: connector.ErrNotConnected, want: []string{"2161"}},
		{name: "a reason that nobody knows", more: good, fault: 2999, class: connector.ErrNotConnected, want: []string{"2999"}},
		{name: "TLS that the channel does not want", more: append(good, "cipher_spec", "ANY", "key_repository", "/k"), class: connector.ErrRefused, want: []string{"2393", "SSLCIPH"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.fault != 0 {
				m.Inject(testqm.Fault{Call: "MQCONNX", Reason: test.fault})
			}
			_, err := connectSource(t, without(fieldsOf(m), test.more), test.more...)
			if !errors.Is(err, test.class) {
				t.Fatalf("%v, want %v", err, test.class)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not speak of %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%v shows a password", err)
			}
		})
	}
	conformance.Eventually(t, "end of all connections", func() bool { return m.Connections() == 0 })
}

// without are the fields that the others do not have.
func without(fields map[string]any, others []any) map[string]any {
	for i := 0; i < len(others); i += 2 {
		delete(fields, others[i].(string))
	}
	return fields
}

func TestTLSFieldsReachTheLibrary(t *testing.T) {
	m := start(t, testqm.Config{CipherSpec: "ANY_TLS12_OR_HIGHER", KeyRepository: "/etc/mq/key.kdb"})
	if _, err := connectSource(t, fieldsOf(m), "cipher_spec", "ANY_TLS12_OR_HIGHER", "key_repository", "/etc/mq/key.kdb", "peer_name", "CN=QM1"); err != nil {
		t.Error(err)
	}
	_, err := connectSource(t, fieldsOf(m), "cipher_spec", "ANY_TLS12_OR_HIGHER", "key_repository", "/etc/mq/other.kdb")
	if !errors.Is(err, connector.ErrRefused) || !strings.Contains(err.Error(), "2381") {
		t.Errorf("another repository: %v", err)
	}
}

func TestThereMustBeABackoutQueue(t *testing.T) {
	m := start(t, testqm.Config{})
	for boqname, want := range map[string]string{"": "has no backout queue", queueName: "its own backout queue", "GONE": "2085"} {
		m.Define(queueName, testqm.Queue{BackoutQueue: boqname})
		_, err := connectSource(t, fieldsOf(m))
		if !errors.Is(err, connector.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("BOQNAME %q: %v, want %q", boqname, err, want)
		}
	}
	m.Define(queueName, testqm.Queue{})
	if _, err := connectSource(t, fieldsOf(m), "backout_queue", backoutName); err != nil {
		t.Error(err)
	}
}

func TestTheSecondHostIsTriedToo(t *testing.T) {
	m := start(t, testqm.Config{})
	fields := fieldsOf(m)
	port := fields["port"].(int)
	if blocker, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port)); err == nil {
		blocker.Close() // so that nobody listens there
	}
	fields["host"] = "127.0.0.2,127.0.0.1"
	if _, err := connectSource(t, fields); err != nil {
		t.Error(err)
	}
}

func TestNoListenerIsNoRefusal(t *testing.T) {
	m := start(t, testqm.Config{})
	fields := fieldsOf(m)
	m.Stop()
	if _, err := connectSource(t, fields); !errors.Is(err, connector.ErrNotConnected) || !strings.Contains(err.Error(), "2538") {
		t.Errorf("%v", err)
	}
}

func TestACallThatHangsIsLeftAlone(t *testing.T) {
	m := start(t, testqm.Config{})
	hold := make(chan struct{})
	m.Inject(testqm.Fault{Call: "MQCONNX", Hold: hold})
	source := define(t, connector.Channel, fieldsOf(m)).Settings.Source(environment())
	ctx, cancel := context.WithTimeout(limited(t), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := source.Connect(ctx); !errors.Is(err, connector.ErrNotConnected) {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithTimeout(limited(t), 50*time.Millisecond)
	defer cancel()
	_ = source.Close(ctx)
	t.Logf("left alone after %v", time.Since(began))
	close(hold)
	conformance.Eventually(t, "end of the connection that came too late", func() bool {
		return m.Connections() == 0 && slices.Contains(m.Journal(), "MQDISC  0")
	})
}
