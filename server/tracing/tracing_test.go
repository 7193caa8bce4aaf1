package tracing

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"zatoha/server/service"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const callers = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func parse(t *testing.T, header string) service.Trace {
	t.Helper()
	trace, found := service.ParseTrace(header)
	if !found {
		t.Fatalf("%q is no trace", header)
	}
	return trace
}

func TestSpansAreWrittenAsOTLP(t *testing.T) {
	start := time.Unix(1_700_000_000, 5)
	got, err := encode(Resource{"zato-server", "v1", "s-1"}, []callSpan{
		{
			Call: service.Call{CID: "K1", Service: "orders.create", Channel: "orders"}, Parent: parse(t, callers),
			Own: parse(t, strings.Replace(callers, "00f067aa0ba902b7", "1111111111111111", 1)), Start: start, End: start.Add(time.Second),
			Err: service.NewError(service.Conflict, "order 7 is closed", io.EOF),
		},
		{Call: service.Call{CID: "K2", Service: "demo.echo"}, Own: parse(t, callers), Start: start, End: start},
	})
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/spans.json"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(got)+"\n" != string(want) {
		t.Errorf("%v; got\n%s\nwant\n%s", err, got, want)
	}
}

// count reads a counter of spans.
func count(t *testing.T, registry *prometheus.Registry, what string) (value float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == what {
				value = metric.GetCounter().GetValue()
			}
		}
	}
	return value
}

func TestSpansReachTheCollector(t *testing.T) {
	received := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		received <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body)
	}))
	defer server.Close()
	registry := prometheus.NewRegistry()
	tracer, err := New(server.URL+"/", Resource{}, registry, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	caller := parse(t, callers)
	own, end := tracer.Begin(service.Call{Service: "in-a-trace", Trace: caller})
	if own.ID() != caller.ID() || own.Span() == caller.Span() {
		t.Errorf("the service's own place is %v", own)
	}
	end(nil)
	unrecorded, end := tracer.Begin(service.Call{Service: "unrecorded", Trace: parse(t, callers[:len(callers)-1]+"0")})
	if unrecorded.Sampled() || unrecorded.ID() != caller.ID() {
		t.Errorf("an unrecorded trace goes on as %v", unrecorded)
	}
	end(nil)
	fresh, end := tracer.Begin(service.Call{Service: "the-first"})
	if fresh.IsZero() || !fresh.Sampled() {
		t.Errorf("a call without a trace begins %v", fresh)
	}
	end(nil)
	tracer.Close()
	got := <-received
	if !strings.HasPrefix(got, "POST /v1/traces application/json {") || !strings.Contains(got, "in-a-trace") ||
		!strings.Contains(got, "the-first") || strings.Contains(got, "unrecorded") {
		t.Error(got)
	}
	if sent := count(t, registry, "sent"); sent != 2 {
		t.Errorf("%v spans are counted as sent", sent)
	}
}

func TestACollectorThatIsAwayCostsSpansOnly(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusServiceUnavailable) }))
	defer server.Close()
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	tracer, err := New(server.URL, Resource{}, registry, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	for range mostQueued + 10 {
		_, end := tracer.Begin(service.Call{Service: "s"})
		end(nil)
	}
	tracer.Close()
	if lost := count(t, registry, "lost"); lost < mostSent+10 || !strings.Contains(log.String(), "503") {
		t.Errorf("%v lost, log %s", lost, log.String())
	}
}

// A collector that asks for patience loses nothing; one that cannot read the spans does not get them again.
func TestACollectorIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		status              int
		asked               int64
		sent, retried, lost float64
	}{
		{http.StatusServiceUnavailable, 3, 7, 14, 0},
		{http.StatusTooManyRequests, 3, 7, 14, 0},
		{http.StatusBadRequest, 1, 0, 0, 7},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) <= 2 {
				http.Error(w, "not now", c.status)
			}
		}))
		registry := prometheus.NewRegistry()
		tracer, err := New(server.URL, Resource{}, registry, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		for range 7 {
			_, end := tracer.Begin(service.Call{Service: "s"})
			end(nil)
		}
		deadline := time.After(20 * time.Second)
		for tick := time.NewTicker(10 * time.Millisecond); count(t, registry, "sent")+count(t, registry, "lost") < 7; {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%d: neither sent nor lost", c.status)
			}
		}
		tracer.Close()
		server.Close()
		sent, retried, lost := count(t, registry, "sent"), count(t, registry, "retried"), count(t, registry, "lost")
		if asked.Load() != c.asked || sent != c.sent || retried != c.retried || lost != c.lost {
			t.Errorf("%d: asked %d times, %v sent, %v retried, %v lost", c.status, asked.Load(), sent, retried, lost)
		}
	}
}

func TestACollectorMustBeAURL(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:4318", "ftp://x", "http://"} {
		if _, err := New(bad, Resource{}, prometheus.NewRegistry(), zerolog.Nop()); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
