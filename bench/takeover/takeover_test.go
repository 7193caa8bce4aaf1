package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/bench/broker"
	"zatoha/bench/experiment"
	"zatoha/bench/history"
	"zatoha/bench/pause"
)

// heard gives a witness the lines of a host's log, and returns the pids that it wants to watch.
func heard(t *testing.T, w *witness, host string, lines ...string) (awaited []int) {
	t.Helper()
	for _, line := range lines {
		var said history.LogLine
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		w.hear(host, said, func(pid int) { awaited = append(awaited, pid) })
	}
	return awaited
}

const (
	started = `{"time": "2026-01-02T12:00:%02d.000Z", "message": "a child has started", "connector": "c-1", "child": 1, "pid": %d, "epoch": %d}`
	went    = `{"time": "2026-01-02T12:00:%02d.000Z", "message": "supervising", "connector": "c-1", "child": 1, "action": "go"}`
	ended   = `{"time": "2026-01-02T12:00:%02d.000Z", "message": "a child has ended", "connector": "c-1", "child": 1, "pid": %d}`
)

func TestTheWitnessTellsARunFromWhatHostsSay(t *testing.T) {
	w := &witness{children: map[childKey]*child{}}
	awaited := heard(
		t, w, "host-1", fmt.Sprintf(started, 1, 41, 7), fmt.Sprintf(went, 2), fmt.Sprintf(ended, 5, 41),
		fmt.Sprintf(started, 8, 43, 9), // the same number, in another tenure; never told to go
	)
	heard(t, w, "host-2", fmt.Sprintf(started, 3, 42, 8), fmt.Sprintf(went, 4))
	runs, err := w.runs()
	if err != nil || len(runs) != 2 || !slices.Equal(awaited, []int{41, 43}) {
		t.Fatalf("%v, %v, %v", runs, awaited, err)
	}
	one := runs[0]
	if one.Host != "host-1" || one.Epoch != 7 || one.PID != 41 || one.Start.Second() != 2 || one.Stop.Second() != 5 {
		t.Errorf("%v", one)
	}
	if faults := history.Check(runs); len(faults) != 1 || faults[0].Kind != history.Overlap {
		t.Errorf("two at once are not found: %v", faults)
	}
	// It was seen to be gone before its host, which was stopped meanwhile, said so.
	w.children[childKey{"host-1", 41}].end(one.Start.Add(time.Second))
	runs, _ = w.runs()
	if faults := history.Check(runs); faults != nil {
		t.Errorf("%v", faults)
	}
	if acting := w.acting(); len(acting) != 1 || acting["c-1"].Host != "host-2" {
		t.Errorf("%v", acting)
	}
}

// asleep says whether a process does nothing because it was stopped.
func asleep(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(text), ") ")
	return err == nil && found && strings.HasPrefix(rest, "T")
}

func TestProcessesAndWhatTheyHaveStartedAreStoppedAndGoOn(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo $!; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	parent := cmd.Process.Pid
	defer signal([]int{parent}, syscall.SIGKILL)
	var child int
	if _, err := fmt.Fscan(output, &child); err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		stopped := s == syscall.SIGSTOP
		if err := signal([]int{parent}, s); err != nil {
			t.Fatal(err)
		}
		if err := pause.Within(t.Context(), 10*time.Second, time.Millisecond, func(context.Context) error {
			if asleep(parent) != stopped || asleep(child) != stopped {
				return errors.New("not yet")
			}
			return nil
		}); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	if err := signal([]int{parent, 1 << 29}, syscall.SIGCONT); err == nil || !strings.Contains(err.Error(), "to process 536870912") {
		t.Errorf("one that is none: %v", err)
	}
}

func TestTheEndOfAProcessIsSeenThoughNobodyBuriesIt(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan error, 1)
	go func() { seen <- gone(t.Context(), cmd.Process.Pid) }()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	if err := gone(t.Context(), cmd.Process.Pid); err != nil {
		t.Errorf("one that is buried: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gone(ended, os.Getpid()); !errors.Is(err, context.Canceled) {
		t.Errorf("this process is gone: %v", err)
	}
}

// storms are effects of a storm: so many messages, of which the first so many come twice, and are marked or not.
func storms(arrived, repeated int, marked bool) (effects []history.Effect) {
	for n := range arrived + repeated {
		e := history.Effect{Connector: stormy, Message: fmt.Sprintf("storm-%d", n%arrived), At: time.Unix(int64(n), 0), Redelivered: n >= arrived && marked}
		e.ID, e.Server = e.Message, fmt.Sprint("server-1/", n/arrived)
		effects = append(effects, e)
	}
	return effects
}

func TestAStormThatLosesOrRepeatsMessagesFallsShort(t *testing.T) {
	for _, c := range []struct {
		arrived, repeated int
		marked            bool
		want              string
	}{
		{1000, 40, true, ""},
		{998, 0, true, "2 of 1000 messages are lost"},
		{1000, 41, true, "41 messages ran twice, with 40 in flight at the faults"},
		{1000, 1, false, "not marked redelivered"},
	} {
		p := &play{Trial: &experiment.Trial{}, scene: &scene{effects: storms(c.arrived, c.repeated, c.marked)}}
		p.weigh(&broker.Publisher{Messages: 1000}, 2, c.arrived, 0)
		if got := strings.Join(p.Failures, "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || len(p.Notes) != 1 {
			t.Errorf("%+v: %q, %q", c, got, p.Notes)
		}
	}
	known := storms(1000, 1, true)
	for i := range known {
		known[i].Server = "server-1/1"
	}
	p := &play{Trial: &experiment.Trial{}, scene: &scene{effects: known}}
	p.weigh(&broker.Publisher{Messages: 1000}, 2, 1000, 0)
	if got := strings.Join(p.Failures, "; "); !strings.Contains(got, "the same process of a server ran again") || !strings.Contains(p.Notes[0], "1 in the process") {
		t.Errorf("%q, %q", got, p.Notes)
	}
}

func TestAStormIsCountedByItsMessages(t *testing.T) {
	p := &play{Trial: &experiment.Trial{}, scene: &scene{effects: []history.Effect{
		{Connector: stormy, Message: "storm-0"},
		{Connector: "c-1", Message: "storm-0"},
		{Connector: stormy, Message: "storm-0"},
		{Connector: stormy, Message: "storm-1"},
	}}}
	if arrived, err := p.calm(t.Context(), stormy, 2); err != nil || arrived != 2 {
		t.Errorf("%d arrived, %v", arrived, err)
	}
	p.forget(stormy)
	if len(p.effects) != 1 || p.effects[0].Connector != "c-1" {
		t.Errorf("%v", p.effects)
	}
}

func TestParkedMessagesSayWhy(t *testing.T) {
	for want, m := range map[string]amqp091.Delivery{
		"":                        {Body: []byte("poison-50"), Headers: amqp091.Table{"x-zatoha-reason": "so it is", "x-zatoha-attempts": int64(maxAttempts)}},
		"good-1 is parked":        {Body: []byte("good-1"), Headers: amqp091.Table{"x-zatoha-reason": "so it is", "x-zatoha-attempts": int64(maxAttempts)}},
		"parked after 2 attempts": {Body: []byte("poison-50"), Headers: amqp091.Table{"x-zatoha-reason": "so it is", "x-zatoha-attempts": int64(2)}},
		"with the reason \"\"":    {Body: []byte("poison-50"), Headers: amqp091.Table{"x-zatoha-attempts": int64(maxAttempts)}},
	} {
		p := &play{Trial: &experiment.Trial{}, scene: &scene{}}
		p.judgeParked(m)
		if got := strings.Join(p.Failures, "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestMemoryIsRead(t *testing.T) {
	if size, err := resident(os.Getpid()); err != nil || size < 1<<20 || size > 1<<33 {
		t.Error(size, err)
	}
	if _, err := resident(1 << 30); err == nil {
		t.Error("a process that is none has memory")
	}
}

func TestTheScenarios(t *testing.T) {
	var whole time.Duration
	for _, s := range table(Options{Options: experiment.Options{Short: true}, RabbitMQ: "there"}) {
		if s.trials > 2 || s.takes > 40*time.Second {
			t.Errorf("%s is not short", s.name)
		}
		whole += time.Duration(s.trials) * s.takes
	}
	if t.Logf("the short form takes %v", whole); whole > 5*time.Minute {
		t.Errorf("the short form takes %v", whole)
	}
	whole = 0
	seen := map[string]bool{}
	for _, s := range table(Options{RabbitMQ: "there"}) {
		if rare := []string{"connector-memory", "connector-poison", "connector-order", "connector-storm"}; s.trials < 30 && !slices.Contains(rare, s.name) {
			t.Errorf("%s has %d trials: chance cannot be told from rule", s.name, s.trials)
		}
		if seen[s.name] || s.does == "" || s.trials < 1 || s.fault == nil || s.stage == (stage{}) {
			t.Errorf("%+v", s)
		}
		seen[s.name] = true
		whole += time.Duration(s.trials) * s.takes
	}
	if t.Logf("all of it takes %v", whole); whole > 100*time.Minute {
		t.Errorf("all of it takes %v", whole)
	}
	if all, without := len(Names()), len(scenarios(Options{})); len(seen) != all || without >= all {
		t.Errorf("%d scenarios, %d names, %d without RabbitMQ", len(seen), all, without)
	}
}

func TestEachTenthOutageIsLong(t *testing.T) {
	o := outages{10 * time.Second, time.Minute}
	var whole time.Duration
	long := 0
	for trial := range 30 {
		away := o.of(trial)
		whole += away
		if o.after(away) == ", after 1m0s" {
			long++
		}
	}
	if long != 3 || whole != 30*o.mean() || o.of(0) != 10*time.Second || o.after(o.of(0)) != "" {
		t.Errorf("%d are long, all take %v, their mean is %v", long, whole, o.mean())
	}
	if o.String() != "10s, each tenth time for 1m0s" || (outages{time.Second, time.Second}).String() != "1s" {
		t.Error(o)
	}
}

func TestTheOthersMayNotFallSilent(t *testing.T) {
	// Each connector gets a message each 10 ms, but for the target in the first 40 ms, and c-2 for a while.
	silentFor := func(ms int) []history.Effect {
		var effects []history.Effect
		for at := -20; at < 2000; at += 10 {
			for _, name := range []string{"c-1", "c-2", "c-3"} {
				if name == "c-1" && 0 < at && at < 40 || name == "c-2" && 500 < at && at < 500+ms {
					continue
				}
				effects = append(effects, history.Effect{Connector: name, At: time.UnixMilli(int64(10_000 + at))})
			}
		}
		return effects
	}
	change := scenario{gap: 50 * time.Millisecond, gapIs: "its gap", one: true}
	for ms, want := range map[int]string{0: "", 400: "", 600: "the others' longest silence took 600 ms, at most 500 ms may be"} {
		p := &play{
			Trial: &experiment.Trial{}, began: time.UnixMilli(10_000),
			scene: &scene{names: []string{"c-1", "c-2", "c-3"}, effects: silentFor(ms)},
		}
		change.silences(p)
		if got := strings.Join(p.Failures, "; "); got != want || len(p.Measured) != 2 || p.Measured[0].Took != 40*time.Millisecond {
			t.Errorf("silent for %d ms: %q, %+v", ms, got, p.Measured)
		}
	}
	all := &play{Trial: &experiment.Trial{}, began: time.UnixMilli(10_000), scene: &scene{names: []string{"c-1", "c-2"}, effects: silentFor(600)}}
	scenario{gap: time.Second, gapIs: "gap"}.silences(all)
	if len(all.Measured) != 1 || all.Measured[0].Took != 600*time.Millisecond {
		t.Errorf("a fault of all: %+v", all.Measured)
	}
}

func TestTheReportTellsTheFiguresAndWhatFellShort(t *testing.T) {
	trial := func(ms int, failures ...string) experiment.Trial {
		return experiment.Trial{Failures: failures, Measured: []experiment.Measured{{What: "gap", Took: time.Duration(ms) * time.Millisecond}}}
	}
	o := experiment.Outcome{
		Results: []experiment.Result{
			{Name: "connector-move", Does: "it moves", PassLine: "gap ≤ 100 ms", Trials: []experiment.Trial{trial(40), trial(60)}},
			{Name: "connector-stop", Trials: []experiment.Trial{trial(140, "gap took 140 ms")}},
			{Name: "connector-change"},
		},
		Also: (&totals{runs: 9, messages: 1000, tenures: 3}).String(),
	}
	passed, text := o.Summary()
	if passed || !strings.Contains(text, "1 of 3 scenarios passed, n = 3 trials") || !strings.Contains(text, "fell short: connector-stop, connector-change") {
		t.Error(text)
	}
	path, err := Report(o, "here").Write(t.TempDir(), "takeover")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| connector-move | it moves | gap | 2 | 40.0 ms | 60.0 ms | 60.0 ms | gap ≤ 100 ms | PASS |", "**FAIL**",
		"- connector-stop, trial 1 of 1: gap took 140 ms", "- connector-change: no trial was played", "0 faults in the history",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the report does not say %q:\n%s", want, page)
		}
	}
	o.Results = o.Results[:1]
	if passed, text := o.Summary(); !passed {
		t.Error(text)
	}
	o.Failures = []string{"two at once"}
	if passed, _ := o.Summary(); passed {
		t.Error("passed with a fault in the history")
	}
}

func TestTheMedianOfARatioIsJudged(t *testing.T) {
	s := scenario{ratioIs: goodIs, least: leastGood}
	of := func(ratios ...time.Duration) (trials []experiment.Trial) {
		for _, ratio := range ratios {
			trials = append(trials, experiment.Trial{Measured: []experiment.Measured{{What: goodIs, Took: ratio, In: experiment.Ratio}}})
		}
		return trials
	}
	if short := s.shortfall(of(700_000, 950_000, 990_000)); short != nil {
		t.Error(short)
	}
	if short := s.shortfall(of(700_000, 890_000, 990_000)); len(short) != 1 || !strings.Contains(short[0], "is 0.890, at least 0.90") {
		t.Error(short)
	}
	if s.shortfall(nil) == nil {
		t.Error("passed without a trial")
	}
	if short := (scenario{}).shortfall(of(1)); short != nil {
		t.Error(short)
	}
}
