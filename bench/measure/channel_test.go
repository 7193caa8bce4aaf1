package measure

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

func TestCallsAreCountedFromOneToAnother(t *testing.T) {
	c, err := newCounter()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	call := func(path string) {
		t.Helper()
		response, err := client.Post(c.address()+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Error(response.Status)
		}
	}
	call(called) // nobody counts
	count := c.expect(1, 3)
	call("/zato-lb-alive")
	call(called)
	call(called)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := count.rate(ended); err == nil || !strings.Contains(err.Error(), "2 of 3 messages came") {
		t.Errorf("two calls: %v", err)
	}
	call(called)
	call(called) // one more than were to come
	if rate, err := count.rate(t.Context()); err != nil || rate <= 0 {
		t.Errorf("%v, %v", rate, err)
	}
	count.began, count.ended = time.Unix(0, 0), time.Unix(4, 0)
	if rate, _ := count.rate(t.Context()); rate != 0.5 {
		t.Errorf("two in four seconds are %v a second", rate)
	}
}

// acked counts acknowledgements.
type acked struct {
	amqp091.Acknowledger
	n int
}

func (a *acked) Ack(uint64, bool) error {
	a.n++
	return nil
}

func TestTheBareConsumerAcknowledgesWhatTheServiceHasTaken(t *testing.T) {
	c, err := newCounter()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	count := c.expect(1, 2)
	broker := &acked{}
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for range 2 {
		if err := serve(client, c.address()+called, "q", amqp091.Delivery{Acknowledger: broker, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := count.rate(t.Context()); err != nil || broker.n != 2 {
		t.Errorf("%d acknowledged, %v", broker.n, err)
	}
	c.close()
	if err := serve(client, c.address()+called, "q", amqp091.Delivery{Acknowledger: broker}); err == nil || broker.n != 2 {
		t.Errorf("the service is away: %d acknowledged, %v", broker.n, err)
	}
}

func TestTheReportOfChannels(t *testing.T) {
	outcome := Options{Trials: 3, Circumstances: "here"}.compareReceived([]received{
		{"classic", Sample{900, 850, 800}, Sample{1000, 1000, 1000}},
		{"quorum", Sample{840, 849, 990}, Sample{1000, 1000, 1000}},
	})
	if want := "classic queue 0.850 of bare (≥ 0.85), n = 3 pairs; quorum queue 0.849 of bare (≥ 0.85), n = 3 pairs"; outcome.Passed || outcome.Summary != want {
		t.Errorf("%v, %s", outcome.Passed, outcome.Summary)
	}
	path, err := outcome.Page.Write(t.TempDir(), "channel")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| classic | 3 | 850 | 1000 | 0.850 | 0.800 … 0.900 | ≥ 0.85 | PASS |",
		"| quorum | 3 | 849 | 1000 | 0.849 | 0.840 … 0.990 | ≥ 0.85 | **FAIL** |", "channel-1.svg",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
	if none := (Options{}).compareReceived([]received{{kind: "classic"}}); none.Passed {
		t.Error("passed without a pair")
	}
}
