package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/measure"
	"zatoha/bench/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJudging(t *testing.T) {
	report := func(requests, silent int, worst time.Duration) load.Report {
		return load.Report{
			Requests: requests, Statuses: map[int]int{200: requests - silent}, Failures: map[load.Failure]int{load.SilentClose: silent},
			Latency: load.Latency{Worst: worst},
		}
	}
	busy := []load.Template{get}
	for _, test := range []struct {
		name     string
		scenario scenario
		trial    experiment.Trial
		allowed  int
		want     []string // how the failures begin
	}{
		{name: "well", scenario: scenario{load: busy, worst: time.Second}, trial: experiment.Trial{Load: report(10, 0, time.Second)}},
		{name: "no load was asked for"},
		{name: "none came", scenario: scenario{load: busy}, want: []string{"no request"}},
		{name: "a close is an error", scenario: scenario{load: busy}, trial: experiment.Trial{Load: report(10, 1, 0)}, want: []string{"1 errors, at most 0", "1 closes"}},
		{name: "slow", scenario: scenario{load: busy, worst: time.Second}, trial: experiment.Trial{Load: report(10, 0, 1001*time.Millisecond)}, want: []string{"the worst took 1001 ms"}},
		{
			name: "as many errors as in flight", scenario: scenario{load: busy}, allowed: 2,
			trial: experiment.Trial{Load: load.Report{Requests: 10, Statuses: map[int]int{200: 8, 502: 2}}},
		},
	} {
		p := &play{Trial: &test.trial, allowed: test.allowed}
		test.scenario.judge(p)
		got := p.Failures
		if len(got) != len(test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q", test.name, got[i], test.want[i])
			}
		}
	}
}

func TestTheTable(t *testing.T) {
	seen := map[string]bool{}
	full := table(false, "x")
	for i, s := range table(true, "x") {
		if seen[s.name] || s.does == "" || s.fault == nil || s.trials < 1 || s.trials > full[i].trials || s.takes <= 0 ||
			s.peer.trials > 0 && (s.peer.fault == nil || s.peer.takes <= 0) {
			t.Errorf("%+v", s)
		}
		seen[s.name] = true
		for _, s := range []scenario{s, full[i]} {
			if judged := s.together != nil && s.trials >= slowRounds; strings.Contains(s.passLine(), "p99") != judged {
				t.Errorf("%s, %d trials: that the p99 is judged is %v, the pass line: %s", s.name, s.trials, judged, s.passLine())
			}
		}
	}
	for _, s := range scenarios(Options{SlowHTTPTest: "x", Options: experiment.Options{Short: true}}) {
		if len(s.Peers) > 0 || strings.HasPrefix(s.Name, "slowhttptest") {
			t.Errorf("%s is played on no peer, and in the short form not by slowhttptest", s.Name)
		}
	}
}

func TestTheReport(t *testing.T) {
	good := experiment.Result{
		Name: "kill-get", Does: "kill", PassLine: "0 errors", Trials: []experiment.Trial{{Measured: []experiment.Measured{{What: "out", Took: time.Second, Limit: 0}}}},
		Peers: []experiment.Peer{
			{On: peer.ConsulTemplateName, Does: "kill twice", Trials: []experiment.Trial{
				{Load: load.Report{Requests: 9, Statuses: map[int]int{200: 7, 503: 2}}},
				{Load: load.Report{Requests: 2, Statuses: map[int]int{200: 1}, Failures: map[load.Failure]int{load.SilentClose: 1}}, Failures: []string{"no route"}},
			}},
			{On: peer.FabioName, Trials: []experiment.Trial{
				{
					Load:     load.Report{Requests: 4, Statuses: map[int]int{200: 3, 502: 1}},
					Measured: []experiment.Measured{{What: "out", Took: 2 * time.Second}},
				},
			}},
		},
	}
	bad := experiment.Result{
		Name: "pause", Trials: []experiment.Trial{{}, {Failures: []string{"3 errors"}}},
		Peers: []experiment.Peer{{On: peer.FabioName, Trials: []experiment.Trial{{}}}},
	}
	path, err := Report("Faults", experiment.Outcome{Results: []experiment.Result{good, bad}}, "here").Write(t.TempDir(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of 2 scenarios passed, n = 3 trials", "fell short: pause", "| kill-get | kill | 1 |", "| kill-get | ours | out | 1 | 1000 ms |",
		"| kill-get | errors | 0 | 3, 1.5 a trial | 1, 1.0 a trial |", "| kill-get | their kinds | none | 2 × 503, 1 × silent close | 1 × 502 |",
		"| kill-get | done | kill | kill twice | kill |", "- kill-get, trial 2 on consul-template + HAProxy: no route",
		"| scenario |  | ours | consul-template + HAProxy | fabio |", "| pause | trials | 2 | 0 | 1 |", "| kill-get | fabio | out | 1 | 2000 ms |",
		"reloads by SIGUSR2; fabio follows",
		"- pause, trial 2 of 2: 3 errors", "faults-1.svg",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}

func TestSlowRoundsAreJudgedTogether(t *testing.T) {
	round := func(undisturbed, control, attacked time.Duration) experiment.Trial {
		p99 := func(d time.Duration) load.Report {
			return load.Report{Latency: load.Latency{P99: d * time.Millisecond}}
		}
		return experiment.Trial{Detail: &Slowness{Undisturbed: p99(undisturbed), Control: p99(control), Attacked: p99(attacked)}}
	}
	for _, test := range []struct {
		name                           string
		rounds, broken                 int
		undisturbed, control, attacked time.Duration
		fell                           bool
	}{
		{"as ever", 5, 0, 10, 10, 10, false},
		{"too slow", 5, 0, 10, 10, 20, true},
		{"too few to tell", 4, 0, 10, 10, 90, false},
		{"too few, one of them broken off", 3, 1, 10, 10, 90, false},
		{"as slow with another attacked", 5, 0, 10, 30, 59, false},
		{"slower than even so", 5, 0, 10, 30, 60, true},
		{"one broke off", 5, 1, 10, 10, 10, true},
		{"none undisturbed", 5, 0, 0, 10, 10, true},
		{"no control", 5, 0, 10, 0, 10, true},
		{"none attacked", 5, 0, 10, 10, 0, true},
	} {
		var trials []experiment.Trial
		for range test.rounds {
			trials = append(trials, round(test.undisturbed, test.control, test.attacked))
		}
		trials = append(trials, make([]experiment.Trial, test.broken)...)
		failures := judgeSlow(trials)
		if (len(failures) > 0) != test.fell {
			t.Errorf("%s: %q", test.name, failures)
		}
		if (experiment.Result{Trials: trials, Failures: failures}).Passed() == test.fell {
			t.Errorf("%s: passed", test.name)
		}
	}
	results := []experiment.Result{{Name: "slow-read", Trials: []experiment.Trial{round(10, 20, 15), round(10, 10, 30), round(10, 10, 20)}, Failures: []string{"all slow"}}}
	path, err := Report("Faults", experiment.Outcome{Results: results}, "here").Write(t.TempDir(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| slow-read | 3 |", "| 10.00 ms | 10.00 ms | 20.00 ms | 1.00 (1.00 … 2.00) | 2.00 (1.50 … 3.00) | neither |", "- slow-read: all slow"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}

func TestWhatSlowClientsAreWithstoodAgainst(t *testing.T) {
	for _, test := range []struct {
		control, attacked float64
		want              string
	}{{1, 1.99, "undisturbed"}, {3, 1.5, "undisturbed"}, {3, 5.9, "the control alone"}, {0.5, 2, "neither"}, {3, 6, "neither"}} {
		if got := withstands(measure.Sample{test.control}, measure.Sample{test.attacked}); got != test.want {
			t.Errorf("control %v, attacked %v: %s, want %s", test.control, test.attacked, got, test.want)
		}
	}
}

func TestScenariosArePlayedOnThePeersThatAreThere(t *testing.T) {
	for _, s := range scenarios(Options{Peers: []peer.Kind{{Name: "a"}, {Name: "b"}}}) {
		if n := len(s.Peers); n != 0 && (n != 2 || s.Peers[0].On != "a" || s.Peers[1].On != "b" || s.Peers[1].Trials < 1 || s.Peers[1].Takes <= 0) {
			t.Errorf("%s: %+v", s.Name, s.Peers)
		}
		if s.Name == "kill-get" && len(s.Peers) == 0 {
			t.Error("kill-get is played on ours alone")
		}
	}
}

func TestMostAtOnce(t *testing.T) {
	const stats = "# pxname,svname,scur,smax,\nfront,FRONTEND,1,32,\nback,slot-001,0,11,\n\n"
	if n, err := mostAtOnce(stats, "slot-001"); n != 11 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "# pxname,svname\nback,slot-001\n", stats[:40]} {
		if _, err := mostAtOnce(bad, "slot-001"); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAnUpstreamRecordsBeforeItAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ids")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	go func() { ended <- Upstream(ctx, address, file) }()
	if err := serving(ctx, "http://"+address+ping); err != nil {
		t.Fatal(err)
	}
	report, err := load.Run(ctx, load.Options{Addr: address, Connections: 3, Requests: 9, Templates: []load.Template{once}})
	if err != nil || report.Errors() > 0 {
		t.Fatal(report, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(file)
	if ids := strings.Fields(string(text)); len(ids) != 9 || len(ids[0]) != 16 {
		t.Errorf("recorded %q, %v", text, err)
	}
}

// TestObstacles asks a made-up Consul through them.
func TestObstacles(t *testing.T) {
	consul, o := consulBehindObstacles(t)
	ask := func(path string, timeout time.Duration) string {
		client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + o.address() + path)
		if err != nil {
			return "no answer"
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return "no answer"
		}
		return fmt.Sprintf("%d %s", response.StatusCode, body)
	}
	const health, other = "/v1/health/service/zato-server", "/v1/kv/x"
	expect := func(want, path string) {
		t.Helper()
		if got := ask(path, 200*time.Millisecond); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	expect("200 consul", health)
	o.give(failing)
	expect("500 rpc error: made up", health)
	expect("200 consul", other)
	o.give(leaderless)
	expect("500 No cluster leader", other)
	o.give(empty)
	expect("200 []", health)
	o.give(ownAnswer)
	expect("200 consul", health)
	for _, toxin := range []toxin{latency, reset, blackhole} {
		if err := o.poison(toxin); err != nil {
			t.Fatal(err)
		}
		expect("no answer", health)
		if err := o.cure(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect("200 consul", health)
	}
	address := o.address()
	for range 2 {
		o.shut()
		if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("shut: %v", err)
		}
		if err := o.open(); err != nil || o.address() != address {
			t.Fatal(o.address(), err)
		}
		expect("200 consul", health)
	}
	consul.Close()
	expect("502 ", health)
	o.shut() // and is closed so
}

func consulBehindObstacles(t *testing.T) (*http.Server, *obstacles) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	consul := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "consul") })}
	ended := make(chan error, 1)
	go func() { ended <- consul.Serve(listener) }()
	o, err := newObstacles(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.close(); err != nil {
			t.Error(err)
		}
		consul.Close()
		<-ended
		o.consul.Transport.(*http.Transport).CloseIdleConnections()
	})
	return consul, o
}

func TestRequestsAreCountedThatWereBegunWhileAServerDied(t *testing.T) {
	died := time.Now()
	after := func(ms ...int) (all []time.Time) {
		for _, n := range ms {
			all = append(all, died.Add(time.Duration(n)*time.Millisecond))
		}
		return all
	}
	if n := within(after(-30, -1, 0, 4, 5, 6, 900), died, died.Add(5*time.Millisecond)); n != 3 {
		t.Errorf("%d, want those after 0, 4 and 5 ms", n)
	}
}
