//go:build ibmmq && cgo

package ibmmq

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/ibmmq/testqm"
)

// What a get that comes too late has got is nobody's: the race detector sees if it is still written where it was awaited.
func TestAGetThatHangsIsLeftAlone(t *testing.T) {
	if os.Getenv("IBMMQ_HOST") != "" {
		t.Skip("SKIPPED: a real queue manager cannot be told to hang")
	}
	m, err := testqm.New(testqm.Config{Name: "QM1", Channel: "ZATOHA.SVRCONN"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	m.Define("ORDERS", testqm.Queue{})
	host, port := m.Address()
	_, settings := settingsOf(t, connector.Channel, map[string]string{"host": strconv.Quote(host), "port": strconv.Itoa(port)})
	one, err := connect(t.Context(), settings, connector.Environment{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if one.input, err = one.open(t.Context(), "ORDERS", "queue", ibmmq.MQOO_INPUT_SHARED); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	m.Inject(testqm.Fault{Call: "MQGET", Hold: hold})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if md, body, err := one.get(ctx, settings); md != nil || body != nil || !errors.Is(err, errNoAnswer) {
		t.Errorf("%v, %q, %v", md, body, err)
	}
	close(hold)
	conformance.Eventually(t, "end of the connection whose call came too late", func() bool { return m.Connections() == 0 })
}
