package load

import (
	"bytes"
	"context"
	"flag"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestOutcomes sends 4 requests over one connection to servers that each misbehave in one way.
func TestOutcomes(t *testing.T) {
	ok := answer(200, "", "hello")
	post := Template{Method: "POST", Path: "/", Body: []byte("body"), BodyPause: 5 * time.Millisecond}
	slow := post
	slow.BodyPause = 250 * time.Millisecond // enough for the other side to have reset the connection, on any machine
	afterOne := func(then func(peer)) func(peer) {
		return func(p peer) {
			p.ask()
			p.say(ok)
			if p.ask() {
				then(p)
			}
		}
	}
	first := func(text string) func(peer) { return func(p peer) { p.ask(); p.say(text) } }
	for _, test := range []struct {
		name       string
		behave     func(peer)
		template   Template
		statuses   map[int]int
		failures   map[Failure]int
		announced  int
		reconnects int
	}{
		{name: "well", behave: always(ok), statuses: map[int]int{200: 4}},
		{name: "well, paused body", behave: always(ok), template: post, statuses: map[int]int{200: 4}},
		{
			name:     "chunked with trailer",
			behave:   always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"),
			statuses: map[int]int{200: 4},
		},
		{name: "no content", behave: always("HTTP/1.1 204 No Content\r\n\r\n"), statuses: map[int]int{204: 4}},
		{name: "answer to HEAD", behave: always("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), template: Template{Method: "HEAD", Path: "/"}, statuses: map[int]int{200: 4}},
		{name: "early hints", behave: always("HTTP/1.1 103 Early Hints\r\n\r\n" + ok), statuses: map[int]int{200: 4}},
		{name: "unavailable", behave: always(answer(503, "", "no")), statuses: map[int]int{503: 4}},
		{name: "announced close", behave: first(answer(200, "Connection: close\r\n", "")), statuses: map[int]int{200: 4}, announced: 4, reconnects: 3},
		{
			name: "silent close on the second request", behave: afterOne(func(peer) {}),
			statuses: map[int]int{200: 2}, failures: map[Failure]int{SilentClose: 2}, reconnects: 1,
		},
		{
			name: "silent close before the second request", behave: closeAfter(ok),
			statuses: map[int]int{200: 2}, failures: map[Failure]int{SilentClose: 2}, reconnects: 1,
		},
		{
			name: "silent close before a paused body", behave: closeAfter(ok), template: post, // the body meets a broken pipe
			statuses: map[int]int{200: 2}, failures: map[Failure]int{SilentClose: 2}, reconnects: 1,
		},
		{name: "close of a new connection", behave: first(""), failures: map[Failure]int{EarlyClose: 4}, reconnects: 3},
		{
			name: "reset on the second request", behave: afterOne(peer.reset),
			statuses: map[int]int{200: 2}, failures: map[Failure]int{Reset: 2}, reconnects: 1,
		},
		{
			name: "reset within the answer", behave: func(p peer) { p.ask(); p.say(ok[:len(ok)-2]); p.reset() },
			failures: map[Failure]int{Reset: 4}, reconnects: 3,
		},
		{
			name: "reset before a paused body", template: slow,
			behave:   func(p peer) { _, _ = p.reader.ReadString('\n'); p.reset() },
			failures: map[Failure]int{Reset: 4}, reconnects: 3,
		},
		{
			name: "answer before a paused body, then reset", template: slow,
			behave:   func(p peer) { _, _ = p.reader.ReadString('\n'); p.say(answer(413, "", "")); p.reset() },
			statuses: map[int]int{413: 4}, announced: 4, reconnects: 3,
		},
		{name: "half a head", behave: first(ok[:20]), failures: map[Failure]int{Truncated: 4}, reconnects: 3},
		{name: "half a body", behave: first(ok[:len(ok)-2]), failures: map[Failure]int{Truncated: 4}, reconnects: 3},
		{
			name: "no end of the chunks", behave: first("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"),
			failures: map[Failure]int{Truncated: 4}, reconnects: 3,
		},
		{name: "no HTTP", behave: always("hello\r\n\r\n"), failures: map[Failure]int{Malformed: 4}, reconnects: 3},
		{name: "two answers", behave: always(ok + ok), failures: map[Failure]int{Malformed: 4}, reconnects: 3},
		{name: "no answer", behave: peer.untilClosed, failures: map[Failure]int{Timeout: 4}, reconnects: 3},
		{name: "stuck answer", behave: func(p peer) { p.ask(); p.say(ok[:20]); p.untilClosed() }, failures: map[Failure]int{Timeout: 4}, reconnects: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.template.Path == "" {
				test.template = Get("/")
			}
			timeout := 5 * time.Second
			if test.failures[Timeout] > 0 {
				timeout = 50 * time.Millisecond
			}
			report := run(t, Options{Addr: serve(t, test.behave), Timeout: timeout, Requests: 4, Templates: []Template{test.template}})
			if !maps.Equal(report.Statuses, test.statuses) || !maps.Equal(report.Failures, test.failures) ||
				report.AnnouncedCloses != test.announced || report.Reconnects != test.reconnects {
				t.Error(report)
			}
			if want := 4 - test.statuses[200] - test.statuses[204]; report.Errors() != want {
				t.Errorf("Errors() = %d, want %d", report.Errors(), want)
			}
		})
	}
}

// run makes a bounded run, over one connection unless the options say more.
func run(t *testing.T, options Options) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	options.Connections = max(options.Connections, 1)
	report, err := Run(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	if answered := report.Latency.Count; options.Requests > 0 && report.Requests != options.Requests || answered > report.Requests {
		t.Errorf("%d of %d requests made, %d answered", report.Requests, options.Requests, answered)
	}
	return report
}

func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	report := run(t, Options{Addr: listener.Addr().String(), Requests: 3, Templates: []Template{Get("/")}})
	if report.Failures[Refused] != 3 || report.MostErrors != 3 || report.MostCutOff != 0 || report.Reconnects != 0 || report.Elapsed < 3*redialPause {
		t.Error(report)
	}
}

// One client of two has all the resets, so that there are no more of them than clients.
func TestErrorsAreCountedForEachClient(t *testing.T) {
	var connections atomic.Int32
	bothAsk := make(chan struct{})
	report := run(t, Options{Connections: 2, Requests: 3, Templates: []Template{Get("/")}, Addr: serve(t, func(p peer) {
		first := connections.Add(1) == 1
		p.ask()
		if first { // holds its client up until the other has had its resets
			<-bothAsk
			p.say(answer(200, "", ""))
			return
		}
		if connections.Load() == 3 {
			close(bothAsk)
		}
		p.reset()
	})})
	if report.Failures[Reset] != 2 || report.MostErrors != 2 || report.MostCutOff != 2 {
		t.Errorf("most errors %d, most cut off %d: %s", report.MostErrors, report.MostCutOff, report)
	}
}

func TestRequestsAsWritten(t *testing.T) {
	const head = "POST /in?x=1 HTTP/1.1\r\nHost: front\r\nUser-Agent: zatoha-load\r\nContent-Length: 4\r\nIdempotency-Key: 7\r\n\r\n"
	pauses := make(chan time.Duration, 2)
	template := Template{
		Method: "POST", Path: "/in?x=1", Body: []byte("body"), BodyPause: 5 * time.Millisecond,
		Header: http.Header{"Host": {"front"}, "idempotency-key": {"7"}},
	}
	whole := template
	whole.BodyPause = 0
	report := run(t, Options{Requests: 2, Templates: []Template{template, whole}, Addr: serve(t, func(p peer) {
		got := make([]byte, len(head)+len("body"))
		for range 2 {
			_, _ = io.ReadFull(p.reader, got[:len(head)])
			read := time.Now()
			_, _ = io.ReadFull(p.reader, got[len(head):])
			pauses <- time.Since(read)
			if string(got) != head+"body" {
				t.Errorf("got %q", got)
			}
			p.say(answer(200, "", ""))
		}
	})})
	if pause := <-pauses; report.Errors() > 0 || report.Latency.Worst < template.BodyPause {
		t.Errorf("body came %v behind the headers; %v", pause, report)
	}
}

func TestEachRequestHasAnIDOfItsOwn(t *testing.T) {
	template := Template{Method: "POST", Path: "/", Body: []byte("body"), IDHeader: "idempotency-key"}
	paused := template
	paused.BodyPause = time.Millisecond
	ids := make(chan string, 80)
	addr := serve(t, func(p peer) {
		for {
			request, err := http.ReadRequest(p.reader)
			if err != nil {
				return
			}
			if body, err := io.ReadAll(request.Body); string(body) != "body" {
				t.Errorf("got the body %q, %v", body, err)
			}
			ids <- request.Header.Get("Idempotency-Key")
			p.say(answer(200, "", ""))
		}
	})
	for range 2 {
		report := run(t, Options{Addr: addr, Connections: 4, Requests: 40, Templates: []Template{template, paused}})
		if report.Errors() > 0 {
			t.Error(report)
		}
	}
	seen := map[string]bool{}
	for range 80 {
		id := <-ids
		if len(id) != 16 || seen[id] {
			t.Errorf("id %q, seen before: %v", id, seen[id])
		}
		seen[id] = true
	}
}

func TestInstancesAreTallied(t *testing.T) {
	var connections atomic.Int32
	report := run(t, Options{
		Connections: 2, Requests: 40, Rate: 1000, InstanceHeader: "x-server", Templates: []Template{Get("/")},
		Addr: serve(t, func(p peer) {
			name := string('a' + rune(connections.Add(1)-1))
			always(answer(200, "X-Server: "+name+"\r\n", ""))(p)
		}),
	})
	if got := report.Instances; got["a"] == 0 || got["a"]+got["b"] != 40 {
		t.Error(report)
	}
}

// TestStallShowsInPacedLatency holds up the first answer: the requests due meanwhile must count as late.
func TestStallShowsInPacedLatency(t *testing.T) {
	const stall = 200 * time.Millisecond
	report := run(t, Options{Requests: 21, Rate: 100, Templates: []Template{Get("/")}, Addr: serve(t, func(p peer) {
		p.ask()
		<-time.After(stall)
		p.say(answer(200, "", ""))
		always(answer(200, "", ""))(p)
	})})
	if report.Elapsed < stall || report.Latency.Median < stall/4 || report.Latency.Worst < stall {
		t.Error(report)
	}
}

// TestFaultInTheMiddle breaks the server while the load runs and watches that live.
func TestFaultInTheMiddle(t *testing.T) {
	var broken atomic.Bool
	running, err := Start(t.Context(), Options{Connections: 4, Templates: []Template{Get("/")}, Addr: serve(t, func(p peer) {
		for p.ask() {
			if broken.Load() {
				p.say(answer(503, "", ""))
			} else {
				p.say(answer(200, "", ""))
			}
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	until(t, func() bool { return running.Snapshot().Statuses[200] > 10 })
	if before := running.Snapshot(); before.Errors() != 0 {
		t.Error(before)
	}
	broken.Store(true)
	until(t, func() bool { return running.Snapshot().Errors() > 10 })
	report := running.Stop()
	if report.Statuses[503] != report.Errors() || !strings.HasSuffix(report.FirstError, "status 503") || sum(report.ErrorsPerSecond) != report.Errors() {
		t.Error(report)
	}
	if again := running.Stop(); again.String() != report.String() {
		t.Errorf("a second Stop: %v, the first: %v", again, report)
	}
}

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// until polls a condition that other goroutines bring about.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 10 s")
		}
	}
}

func TestStopWaitsForTheRequestUnderWay(t *testing.T) {
	asked, stopped := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	running, err := Start(ctx, Options{Connections: 1, Templates: []Template{Get("/")}, Addr: serve(t, func(p peer) {
		p.ask()
		close(asked)
		<-stopped
		p.say(answer(200, "", ""))
	})})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	cancel()
	close(stopped)
	if report := running.Wait(); report.Requests != 1 || report.Errors() != 0 {
		t.Error(report)
	}
}

// TestStopEndsThePauses stops a run whose next request is due in an hour.
func TestStopEndsThePauses(t *testing.T) {
	running, err := Start(t.Context(), Options{
		Connections: 3, Rate: 1.0 / 3600, Templates: []Template{Get("/")}, Addr: serve(t, always(answer(200, "", ""))),
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return running.Snapshot().Requests == 1 })
	if report := running.Stop(); report.Requests != 1 || report.Elapsed > 10*time.Second {
		t.Error(report)
	}
}

func TestBadOptions(t *testing.T) {
	good := []Template{Get("/")}
	for name, options := range map[string]Options{
		"Connections":    {Addr: "127.0.0.1:1", Templates: good},
		"Templates":      {Addr: "127.0.0.1:1", Connections: 1},
		"invalid port":   {Addr: "127.0.0.1:x", Connections: 1, Templates: good},
		"Templates[1]":   {Addr: "127.0.0.1:1", Connections: 1, Templates: append(slices.Clone(good), Get("no slash"))},
		"invalid method": {Addr: "127.0.0.1:1", Connections: 1, Templates: []Template{{Method: "A B", Path: "/"}}},
	} {
		if _, err := Run(t.Context(), options); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not say so", name, err)
		}
	}
}

func TestReportReads(t *testing.T) {
	var text bytes.Buffer
	for _, report := range []Report{
		{},
		{
			Elapsed: 10017 * time.Millisecond, Connections: 32, Requests: 1000,
			Statuses: map[int]int{200: 985, 503: 6}, Failures: map[Failure]int{SilentClose: 2, Reset: 7},
			AnnouncedCloses: 3, Reconnects: 12, Instances: map[string]int{"main-2": 490, "main-1": 495},
			Latency:         Latency{991, 1234567, 45678901, 56 * time.Millisecond},
			ErrorsPerSecond: []int{0, 0, 0, 11, 4}, FirstError: "after 3.2s: silent close: no byte of an answer: EOF",
		},
	} {
		text.WriteString(report.String() + "\n")
	}
	const golden = "testdata/reports.txt"
	if *update {
		if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got:\n%swant:\n%s(rewrite with -update)", text.String(), want)
	}
}

func TestQuantilesAreNearlyExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 1, 300).Draw(t, "durations")
		q := rapid.Float64Range(0.001, 1).Draw(t, "q")
		var h histogram
		for _, d := range durations {
			h.add(time.Duration(d))
		}
		slices.Sort(durations)
		exact := durations[int(math.Ceil(q*float64(len(durations))))-1]
		if got := int64(h.quantile(q)); got < exact || float64(got-exact) > 0.008*float64(exact) {
			t.Fatalf("quantile %v = %d, exactly %d", q, got, exact)
		}
		if worst := int64(h.worst); worst != durations[len(durations)-1] {
			t.Fatalf("worst = %d", worst)
		}
	})
}
