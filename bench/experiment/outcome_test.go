package experiment

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/bench/load"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestATrialIsHeldAgainstItsLimits(t *testing.T) {
	report := func(requests, silent int, worst time.Duration) load.Report {
		return load.Report{
			Requests: requests, Statuses: map[int]int{200: requests - silent}, Failures: map[load.Failure]int{load.SilentClose: silent},
			Latency: load.Latency{Worst: worst},
		}
	}
	for name, c := range map[string]struct {
		load    load.Report
		allowed int
		slack   int
		want    []string // how the failures begin
	}{
		"well":                          {load: report(10, 0, time.Second)},
		"a close is an error":           {load: report(10, 1, 0), want: []string{"1 errors, at most 0", "1 closes"}},
		"slow":                          {load: report(10, 0, 1001*time.Millisecond), want: []string{"the worst took 1001 ms, at most 1000 ms"}},
		"slow, with slack":              {load: report(10, 0, 2*time.Second), slack: 2},
		"too slow, with slack":          {load: report(10, 0, 3*time.Second), slack: 2, want: []string{"the worst took 3000 ms, at most 2000 ms"}},
		"as many errors as in flight":   {load: load.Report{Requests: 10, Statuses: map[int]int{200: 8, 502: 2}}, allowed: 2},
		"more errors than were allowed": {load: load.Report{Requests: 10, Statuses: map[int]int{200: 7, 502: 3}}, allowed: 2, want: []string{"3 errors, at most 2"}},
	} {
		trial := Trial{Load: c.load, slack: c.slack}
		trial.JudgeLoad(c.allowed, time.Second)
		if !slices.EqualFunc(trial.Failures, c.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", name, trial.Failures, c.want)
		}
	}
	trial := Trial{slack: 2}
	trial.Measure("out", time.Hour, 0)
	trial.Measure("back", 2*time.Second, time.Second)
	trial.Measure("back", 2001*time.Millisecond, time.Second)
	trial.Hold(Measured{What: "memory", Took: 26_000_000, Limit: 25_000_000, In: Bytes})
	want := []string{"back took 2001 ms, at most 2000 ms may be", "memory took 26.0 MB, at most 25.0 MB may be"}
	if !slices.Equal(trial.Failures, want) || len(trial.Measured) != 4 {
		t.Errorf("%q, %+v", trial.Failures, trial.Measured)
	}
}

func TestTimesAreKeptApart(t *testing.T) {
	all := Timings([]Trial{
		{Measured: []Measured{{What: "out", Took: time.Second}, {What: "back", Took: time.Millisecond, Limit: time.Second}, {What: "out", Took: 3 * time.Second}}},
		{Measured: []Measured{{What: "out", Took: 2 * time.Second}, {What: "share", Took: One / 2, In: Ratio}, {What: "share", Took: One, In: Ratio}}},
	})
	if len(all) != 3 || all[0].short() != "out 3 times, at most 3000 ms" || all[1].short() != "back 1.00 ms" || all[1].Limit != time.Second {
		t.Errorf("%+v", all)
	}
	if got := all[0].Cells(); !slices.Equal(got, []string{"3", "2000 ms", "3000 ms", "3000 ms"}) {
		t.Error(got)
	}
	if got := all[2].Cells(); !slices.Equal(got, []string{"2", "0.500", "1.000", "0.500"}) { // the worst ratio is the least
		t.Error(got)
	}
	if got := TimingOf(nil, "out"); got.What != "out" || got.Quantile(0.5) != 0 {
		t.Errorf("%+v", got)
	}
}

// played is an outcome with a bit of everything.
func played() Outcome {
	ms := time.Millisecond
	return Outcome{
		Also: "2 tenures",
		Results: []Result{
			{
				Name: "kill", Does: "kill it", PassLine: "back ≤ 1 s", Elapsed: 3 * time.Second, Trials: []Trial{
					{
						Measured: []Measured{{What: "back", Took: 200 * ms, Limit: time.Second}, {What: "memory", Took: 12_300_000, In: Bytes}},
						Load:     load.Report{Requests: 10, Statuses: map[int]int{200: 10}, Latency: load.Latency{Worst: 30 * ms}},
					},
					{Measured: []Measured{{What: "back", Took: 400 * ms, Limit: time.Second}}, Load: load.Report{Requests: 5, Statuses: map[int]int{200: 5}}},
				},
			},
			{Name: "pause", Does: "pause | resume", PassLine: "0 errors", Elapsed: time.Second, Trials: []Trial{{}, {Failures: []string{"3 errors"}}}},
			{Name: "late", Trials: []Trial{{}}, Failures: []string{"all are slow"}},
			{Name: "never"},
		},
		Failures: []string{"two at once"},
	}
}

func TestWhatAnOutcomeAmountsTo(t *testing.T) {
	var said strings.Builder
	dir := t.TempDir()
	outcome := played()
	page := outcome.Page("Trial", "here", "About it.")
	page.Table(Columns, outcome.Figures())
	outcome.WhatFellShort(page)
	passed, err := outcome.Conclude(&said, page, dir, "trial", nil)
	if err != nil || passed {
		t.Error(passed, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "trial.md"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(said.String(), dir, "reports") + "---\n" + string(text)
	if *update {
		if err := os.WriteFile("testdata/outcome.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/outcome.txt")
	if err != nil || got != string(want) {
		t.Errorf("%v, got\n%s", err, got)
	}
}

func TestNothingPassesByNotBeingPlayed(t *testing.T) {
	good := played().Results[0]
	for name, c := range map[string]struct {
		outcome Outcome
		passed  bool
	}{
		"all well":              {Outcome{Results: []Result{good}}, true},
		"nothing":               {Outcome{}, false},
		"no trial":              {Outcome{Results: []Result{good, {Name: "never"}}}, false},
		"a fault of all":        {Outcome{Results: []Result{good}, Failures: []string{"two at once"}}, false},
		"a trial fell short":    {Outcome{Results: []Result{good, {Trials: []Trial{{Failures: []string{"3 errors"}}}}}}, false},
		"the trials fell short": {Outcome{Results: []Result{good, {Trials: []Trial{{}}, Failures: []string{"slow"}}}}, false},
	} {
		if passed, text := c.outcome.Summary(); passed != c.passed {
			t.Errorf("%s: %s", name, text)
		}
	}
	var sum Outcome
	sum.Add(Outcome{Results: []Result{good}})
	sum.Add(played())
	if len(sum.Results) != 5 || sum.Also != "2 tenures" || len(sum.Failures) != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestWhatKeptScenariosFromBeingPlayedIsAnErrorBehindTheReport(t *testing.T) {
	var said strings.Builder
	stopped := errors.New("stopped")
	outcome := played()
	passed, err := outcome.Conclude(&said, outcome.Page("Trial", "here", ""), t.TempDir(), "trial", stopped)
	if passed || !errors.Is(err, stopped) || !strings.HasPrefix(said.String(), "the report is in ") || strings.Contains(said.String(), "FAIL") {
		t.Errorf("%v, %v, %s", passed, err, said.String())
	}
	said.Reset()
	if _, err := (Outcome{}).Conclude(&said, outcome.Page("Trial", "here", ""), t.TempDir(), "trial", stopped); !errors.Is(err, stopped) || said.Len() > 0 {
		t.Errorf("%v, %s", err, said.String())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := outcome.Conclude(&said, outcome.Page("Trial", "here", ""), file, "trial", stopped); !errors.Is(err, stopped) || !strings.Contains(err.Error(), "write the report") {
		t.Error(err)
	}
}
