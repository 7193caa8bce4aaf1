//go:build ibmmq && cgo

// Package mqi holds the tests of the kind "ibmmq" through the real mq-golang: against our stand-in for IBM's library and
// the test queue manager behind it, or against a real queue manager if IBMMQ_HOST names one:
//
//	IBMMQ_HOST, IBMMQ_PORT (1414), IBMMQ_QUEUE_MANAGER, IBMMQ_CHANNEL   where it is
//	IBMMQ_USER, IBMMQ_PASSWORD, IBMMQ_CIPHER_SPEC, IBMMQ_KEY_REPOSITORY as whom to connect; may be missing
//	IBMMQ_QUEUE, IBMMQ_BACKOUT_QUEUE                                    two local queues, which are emptied
//
// The conformance suite runs against either. What needs a queue manager that fails on command is skipped with a real one.
package mqi

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
	_ "zatoha/connectorhost/ibmmq"
	"zatoha/connectorhost/ibmmq/testqm"
)

const (
	bound = 60 * time.Second // whatever takes longer is broken, however slow the machine

	queueName   = "ORDERS"
	backoutName = "ORDERS.BACKOUT"
	channelName = "ZATOHA.SVRCONN"
	managerName = "QM1"
)

// real are the fields of a connector to the real queue manager; nil if there is none.
func real(t *testing.T) map[string]any {
	t.Helper()
	host := os.Getenv("IBMMQ_HOST")
	if host == "" {
		return nil
	}
	fields := map[string]any{"host": host, "port": 1414}
	if text := os.Getenv("IBMMQ_PORT"); text != "" {
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("IBMMQ_PORT: %v", err)
		}
		fields["port"] = port
	}
	for _, field := range []struct{ name, variable, otherwise string }{
		{"queue_manager", "IBMMQ_QUEUE_MANAGER", ""},
		{"channel", "IBMMQ_CHANNEL", ""},
		{"queue", "IBMMQ_QUEUE", ""},
		{"backout_queue", "IBMMQ_BACKOUT_QUEUE", ""},
		{"user", "IBMMQ_USER", "-"},
		{"password", "IBMMQ_PASSWORD", "-"},
		{"cipher_spec", "IBMMQ_CIPHER_SPEC", "-"},
		{"key_repository", "IBMMQ_KEY_REPOSITORY", "-"},
	} {
		switch value := cmp.Or(os.Getenv(field.variable), field.otherwise); value {
		case "":
			t.Fatalf("IBMMQ_HOST is set, but not %s", field.variable)
		case "-":
		default:
			fields[field.name] = value
		}
	}
	return fields
}

// start starts a test queue manager with the two queues. The test goes on beside others that do so.
func start(t *testing.T, config testqm.Config) *testqm.Manager {
	t.Helper()
	t.Parallel()
	if os.Getenv("IBMMQ_HOST") != "" {
		t.Skip("SKIPPED: a real queue manager cannot be told to fail")
	}
	return startManager(t, config)
}

func startManager(t testing.TB, config testqm.Config) *testqm.Manager {
	t.Helper()
	config.Name, config.Channel = managerName, channelName
	m, err := testqm.New(config)
	must(t, err)
	t.Cleanup(m.Stop)
	m.Define(queueName, testqm.Queue{BackoutQueue: backoutName})
	m.Define(backoutName, testqm.Queue{})
	return m
}

// fieldsOf are the fields of a connector to a test queue manager.
func fieldsOf(m *testqm.Manager) map[string]any {
	host, port := m.Address()
	return map[string]any{"queue_manager": managerName, "channel": channelName, "host": host, "port": port, "queue": queueName}
}

// define makes a definition.
func define(t testing.TB, role connector.Role, fields map[string]any, more ...any) *connector.Definition {
	t.Helper()
	text := fmt.Appendf(nil, `{"name": "subject", "kind": "ibmmq", "role": %q`, role)
	if role == connector.Channel {
		text = append(text, `, "service": "order.new", "max_attempts": 3`...)
	}
	for name, value := range fields {
		text = fmt.Appendf(text, ", %q: %s", name, asJSON(value))
	}
	for i := 0; i+1 < len(more); i += 2 {
		text = fmt.Appendf(text, ", %q: %s", more[i], asJSON(more[i+1]))
	}
	d, err := connector.Decode(append(text, '}'))
	must(t, err)
	return d
}

func asJSON(value any) string {
	if text, isText := value.(string); isText {
		return strconv.Quote(text)
	}
	return fmt.Sprint(value)
}

func environment() connector.Environment {
	return connector.Environment{Name: "subject", Blocked: func(string) {}}
}

// limited is a context for one test's calls.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
