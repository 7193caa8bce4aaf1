package main

import (
	"strings"
	"testing"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/history"
	"zatoha/bench/load"
	"zatoha/deploy/fleet"
)

func TestTheNamesOfScenariosTellThemApart(t *testing.T) {
	seen := map[string]bool{}
	brief := 0
	for _, s := range table(options{Partition: time.Minute, Outage: time.Minute}) {
		if seen[s.name] || s.name == "" || s.does == "" || s.passLine == "" || s.trials < 1 || s.fault == nil {
			t.Errorf("%+v", s)
		}
		seen[s.name] = true
		if s.brief {
			brief++
		}
	}
	short, all := options{Options: experiment.Options{Short: true}}, len(seen)
	if n := len(scenarios(short)); brief == 0 || n != brief {
		t.Errorf("%d brief scenarios, %d in the short form", brief, n)
	}
	short.Only = experiment.Only{"balancer-hangs"} // may be any of them
	if chosen := scenarios(short); len(chosen) != all || chosen[0].Trials != 1 {
		t.Errorf("%d of %d scenarios may be chosen", len(chosen), all)
	}
}

// Whichever host is cut off, and with Consul's leader or without: only the gossip makes a difference.
func TestTheLimitsOfTakeoversAreThoseOfTheGossip(t *testing.T) {
	limits := map[string]string{
		"partition-active": "≤ 8s", "partition-leader": "≤ 8s", "partition-active-tuned": "≤ 3s", "partition-leader-tuned": "≤ 3s",
	}
	for _, s := range partitions(options{Partition: time.Minute, Outage: time.Minute}) {
		limit, ok := limits[s.name]
		if !ok {
			continue
		}
		if delete(limits, s.name); !strings.Contains(s.passLine, "another consumes "+limit+";") || s.on.fastGossip != strings.HasSuffix(s.name, "-tuned") {
			t.Errorf("%s, fast gossip %v: %s", s.name, s.on.fastGossip, s.passLine)
		}
	}
	if len(limits) > 0 {
		t.Errorf("not played: %v", limits)
	}
}

func TestMessagesByAMQPAreInAPassLineOnlyWithRabbitMQ(t *testing.T) {
	without, with := table(options{}), table(options{RabbitMQ: "there"})
	promised := 0
	for i, s := range with {
		if strings.Contains(without[i].passLine, "AMQP") {
			t.Errorf("%s without RabbitMQ: %s", s.name, without[i].passLine)
		}
		if strings.Contains(s.passLine, "by AMQP no message is lost") {
			promised++
		}
	}
	if promised == 0 {
		t.Error("with RabbitMQ no scenario has messages by AMQP in its pass line")
	}
	if got := (&playing{stage: &stage{}}).byAMQP(); got != "" {
		t.Errorf("without RabbitMQ a trial notes %q", got)
	}
	if got := (&playing{stage: &stage{mail: &mail{}}, kept: 7}).byAMQP(); got != "; AMQP 0 of 7" {
		t.Errorf("with RabbitMQ a trial notes %q", got)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	good := runCommand{Slack: 1, Lighter: 1, Partition: time.Minute, Outage: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := runCommand{Trials: -1, Only: experiment.Only{"dies"}}
	err := bad.Validate()
	for _, want := range []string{"--trials: -1", "--slack: 0", "--lighter: 0", "--partition: 0s", "--outage: 0s", "--only: no scenario is called \"dies\"; there are balancer-host-dies, balancer-dies"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestRunsAreReadFromTheLogOfAHost(t *testing.T) {
	const log = `{"time":"2026-01-02T03:04:05.000Z","message":"a child has started","connector":"c-1","child":1,"pid":7,"epoch":3}
not JSON
{"time":"2026-01-02T03:04:05.100Z","message":"supervising","connector":"c-1","child":1,"action":"go"}
{"time":"2026-01-02T03:04:05.100Z","message":"a child has started","connector":"c-2","child":1,"pid":8,"epoch":3}
{"time":"2026-01-02T03:04:06.000Z","message":"a child has ended","connector":"c-1","child":1,"pid":7}
{"time":"2026-01-02T03:04:07.000Z","message":"a child has started","connector":"c-1","child":1,"pid":7,"epoch":5}
{"time":"2026-01-02T03:04:07.200Z","message":"supervising","connector":"c-1","child":1,"action":"go"}
{"time":"2026-01-02T03:04:08.000Z","message":"a child has started","connector":"c-3","child":1,"pid":9,"epoch":5}
{"time":"2026-01-02T03:04:08.100Z","message":"a child has ended","connector":"c-3","child":1,"pid":9}
{"time":"2026-01-02T03:04:08.101Z","message":"supervising","connector":"c-3","child":1,"action":"go"}
`
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []history.Run{
		{Host: "a", Connector: "c-1", Epoch: 3, PID: 7, Start: second.Add(100 * time.Millisecond), Stop: second.Add(time.Second)},
		{Host: "a", Connector: "c-1", Epoch: 5, PID: 7, Start: second.Add(2200 * time.Millisecond)},
	}
	got := readRuns("a", log)
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v\nwant %v", got, want)
	}
}

func TestWhatRunsOnWithoutAQuorumIsSeen(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stopped := func(after time.Duration) history.Run {
		return history.Run{Connector: "c-1", Start: began.Add(-time.Minute), Stop: began.Add(after)}
	}
	runs := []history.Run{stopped(-time.Second), stopped(900 * time.Millisecond), stopped(800 * time.Millisecond)}
	if last, goOn := lastStop(runs); !last.Equal(began.Add(900*time.Millisecond)) || len(goOn) > 0 {
		t.Error(last, goOn)
	}
	on := history.Run{Connector: "c-2", Start: began}
	if _, goOn := lastStop(append(runs, on)); len(goOn) != 1 || goOn[0] != on {
		t.Error(goOn)
	}
	for slack, want := range map[int]time.Duration{0: 3 * time.Second, 1: 3 * time.Second, 3: 9 * time.Second} {
		if got := (options{Outage: time.Second, Options: experiment.Options{Slack: slack}}).outage(); got != want {
			t.Errorf("with a slack of %d the outage is %v, want %v", slack, got, want)
		}
	}
}

func TestConnectorsMayMoveOnlyWhenTheirHostAsksConsulByTheOneCutOff(t *testing.T) {
	var nodes []*fleet.Node
	for _, role := range fleet.Equal(4) { // the last has no Consul server
		nodes = append(nodes, &fleet.Node{Role: role})
	}
	for _, test := range []struct {
		active, victim, leader int
		want                   bool
	}{
		{0, 1, 1, true}, {0, 1, 0, false}, {0, 1, 2, false}, {0, 3, 1, false}, {3, 1, 0, true}, {3, 1, 1, true},
	} {
		if got := mayMove(nodes[test.active], nodes[test.victim], nodes[test.leader]); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestWhatYieldSays(t *testing.T) {
	if got, ok := shutFor("the address has gone: open connections ended in 87ms, and for 690ms nobody could begin one\n"); !ok || got != 690*time.Millisecond {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := shutFor("this load balancer does not have the address"); ok {
		t.Error(got)
	}
}

func TestTheTable(t *testing.T) {
	ms := time.Millisecond
	outcome := experiment.Outcome{Results: []experiment.Result{
		{Name: "a", PassLine: "≤ 1 s", Trials: []experiment.Trial{
			{Measured: []experiment.Measured{{What: "gap", Took: 200 * ms}}, Load: load.Report{Requests: 10, Statuses: map[int]int{200: 9}, Latency: load.Latency{Worst: 30 * ms}}},
			{Measured: []experiment.Measured{{What: "gap", Took: 400 * ms}}, Load: load.Report{Requests: 10, Statuses: map[int]int{200: 10}}},
		}},
		{Name: "b", PassLine: "0", Trials: []experiment.Trial{{Failures: []string{"it broke"}, Measured: []experiment.Measured{{What: "gap", Took: ms}}}}},
	}}
	got := onTerminal(outcome)
	for _, want := range []string{
		"a         gap                               2  200 ms   400 ms   400 ms   ≤ 1 s      PASS", "1 of 20 requests failed; latency", "30.0 ms", "FAIL",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	path, err := page(outcome, "here").Write(t.TempDir(), "redundancy")
	if err != nil || !strings.HasSuffix(path, "redundancy.md") {
		t.Error(path, err)
	}
}
