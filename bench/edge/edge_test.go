package edge

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/deploy/cluster"
)

func TestTheNamesOfScenariosTellThemApart(t *testing.T) {
	seen := map[string]bool{}
	for _, short := range []bool{false, true} {
		for _, s := range table(Options{Options: experiment.Options{Short: short}}) {
			if seen[s.name] != short || s.does == "" || s.trials < 1 || s.takes <= 0 || s.act == nil || len(s.load) == 0 {
				t.Errorf("%+v", s)
			}
			seen[s.name] = true
		}
	}
	if names := Names(); len(names) != len(seen) {
		t.Errorf("%q", names)
	}
}

func TestMessagesAreInThePassLineOnlyWhereTheyAreCounted(t *testing.T) {
	for rabbitMQ, want := range map[string]string{
		"": "0 errors, 0 closes; every program tells the new version", "there": "0 errors, 0 closes; 0 messages lost; every program tells the new version",
	} {
		for _, s := range table(Options{RabbitMQ: rabbitMQ}) {
			if got := s.passLine(); s.name == "edge-upgrade" && got != want {
				t.Errorf("RabbitMQ %q: %s, want %s", rabbitMQ, got, want)
			}
		}
	}
}

func TestATrialIsJudged(t *testing.T) {
	good := load.Report{Requests: 2, Statuses: map[int]int{200: 2}, Latency: load.Latency{Worst: time.Second}}
	for what, c := range map[string]struct {
		change func(*load.Report)
		faults int
	}{
		"all well":   {func(*load.Report) {}, 0},
		"no request": {func(r *load.Report) { *r = load.Report{} }, 1},
		"an error":   {func(r *load.Report) { r.Statuses = map[int]int{200: 1, 503: 1} }, 1},
		"a close": {func(r *load.Report) {
			r.Statuses, r.Failures = map[int]int{200: 1}, map[load.Failure]int{load.SilentClose: 1}
		}, 2},
		"too slow":     {func(r *load.Report) { r.Latency.Worst = 3 * time.Second }, 1},
		"slow and bad": {func(r *load.Report) { r.Statuses, r.Latency.Worst = map[int]int{502: 2}, time.Minute }, 2},
	} {
		p := &play{Trial: &experiment.Trial{Load: good}}
		c.change(&p.Load)
		scenario{worst: 2 * time.Second}.judge(p)
		if len(p.Failures) != c.faults {
			t.Errorf("%s: %q", what, p.Failures)
		}
	}
}

func TestMessagesAreCountedFromTheLogs(t *testing.T) {
	dir := t.TempDir()
	s := &stage{dir: dir}
	write := func(cluster, log, text string) {
		t.Helper()
		path := filepath.Join(dir, cluster, "log", log)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := func(second, payload string) string {
		return `{"time":"2026-01-02T03:04:` + second + `Z","message":"a message has come","payload":"` + payload + `"}` + "\n"
	}
	write("a", "server-1.log", line("01", "q-0")+"panic: q-0\n"+line("05", "q-1")+line("06", "r-9"))
	write("b", "server-2.log", line("02", "q-1"))
	for _, name := range names {
		c := &cluster.Cluster{}
		c.Dir = filepath.Join(dir, name)
		s.clusters = append(s.clusters, c)
	}
	arrived, err := s.arrived("q")
	if err != nil || len(arrived) != 2 || len(arrived["q-1"].at) != 2 {
		t.Errorf("%v %v", arrived, err)
	}
	p := &play{stage: s, Trial: &experiment.Trial{}}
	p.count(&broker.Publisher{Queue: "q"}, arrived)
	if len(p.Failures) != 0 || len(p.Notes) != 1 || p.Notes[0] != "0 messages by AMQP: 0 lost, 0 ran twice" {
		t.Errorf("%q, %q", p.Failures, p.Notes)
	}
	var times []time.Time
	for _, a := range arrived {
		times = append(times, a.at...)
	}
	if gap := longest(times); gap != 3*time.Second {
		t.Errorf("the longest gap is %v", gap)
	}
}
