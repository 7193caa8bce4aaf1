package measure

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestARateIsKeptUp(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 20 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	p := &paced{contender: contender{name: "made up", front: server.Listener.Addr().String()}}
	sample, err := p.keepUp(t.Context(), 100, 100*time.Millisecond)
	if err != nil || len(sample) != 10 || asked.Load() != 10 {
		t.Errorf("%d of %d requests, %v", len(sample), asked.Load(), err)
	}
	if _, err := p.keepUp(t.Context(), 100, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "made up at 100 requests a second: 503") {
		t.Errorf("an error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.keepUp(ctx, 1, time.Hour); err != context.Canceled {
		t.Errorf("an end: %v", err)
	}
}

func TestTheReportOfLatencies(t *testing.T) {
	var all []*paced
	for i, name := range []string{"ours", "static", "static again", "bare"} {
		p := &paced{contender{name: name}, map[int]*latencies{}}
		for _, rate := range []int{500, 1000} {
			ms := float64((i + 1) * rate / 500)
			p.at[rate] = &latencies{all: Sample{ms, ms, 3 * ms}, p99s: Sample{3 * ms}}
		}
		all = append(all, p)
	}
	outcome := Options{Trials: 1, Circumstances: "here"}.compareLatencies(all, []int{500, 1000})
	if want := "p99 to that of static, by pairs: 0.50 at 500/s (control 1.50), 0.50 at 1000/s (control 1.50), n = 1 pairs"; outcome.Summary != want {
		t.Error(outcome.Summary)
	}
	path, err := outcome.Page.Write(t.TempDir(), "latency")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| 1000/s | ours | 2/s | 3 | 2.00 ms | 6.00 ms | 6.00 ms | 0.500 (0.500 … 0.500) |", "latency-1.svg"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}
