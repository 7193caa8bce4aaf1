package experiment

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/measure"
)

// Trial is one run of a scenario.
type Trial struct {
	Number   int // from 0
	Load     load.Report
	Measured []Measured // what else was timed
	Notes    []string   // that tell more, and are no failures
	Failures []string   // in which respects it fell short of its pass line
	Detail   any        // what a report of the scenario's own is made of

	slack int
}

// Measured is a time that something in a trial took, and the most that it may take; or an amount in another unit.
type Measured struct {
	What        string
	Took, Limit time.Duration // in other units than of time, their number: bytes, or [One] for a ratio of 1; a limit of 0 is none
	In          Unit
}

// Unit is what an amount is in.
type Unit int

// The units.
const (
	Time Unit = iota
	Bytes
	Ratio
)

// One is the amount that is a ratio of 1.
const One = 1_000_000

// Text is an amount as a reader wants it.
func (u Unit) Text(amount time.Duration) string {
	switch u {
	case Bytes:
		return fmt.Sprintf("%.1f MB", float64(amount)/1e6)
	case Ratio:
		return fmt.Sprintf("%.3f", float64(amount)/One)
	}
	return Readable(amount)
}

// Fail notes that the trial fell short.
func (t *Trial) Fail(format string, args ...any) {
	t.Failures = append(t.Failures, fmt.Sprintf(format, args...))
}

// Note notes what else is to be told of the trial.
func (t *Trial) Note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// Measure notes a time, and that it was too long; a limit of 0 is none. What happens more than once is noted as often.
func (t *Trial) Measure(what string, took, limit time.Duration) {
	t.Hold(Measured{What: what, Took: took, Limit: t.bound(limit)})
}

// Hold notes an amount, and that it was too much.
func (t *Trial) Hold(m Measured) {
	t.Measured = append(t.Measured, m)
	if m.Limit > 0 && m.Took > m.Limit {
		t.Fail("%s took %s, at most %s may be", m.What, m.In.Text(m.Took), m.In.Text(m.Limit))
	}
}

// JudgeLoad holds the load against how many of its requests may fail, and how long any may take; 0 for any time.
func (t *Trial) JudgeLoad(allowed int, worst time.Duration) {
	if n := t.Load.Errors(); n > allowed {
		t.Fail("%d errors, at most %d may be: %s", n, allowed, t.Load)
	}
	if n := t.Load.Closes(); n > allowed {
		t.Fail("%d closes", n)
	}
	if limit := t.bound(worst); limit > 0 && t.Load.Latency.Worst > limit {
		t.Fail("the worst took %s, at most %s may be", Readable(t.Load.Latency.Worst), Readable(limit))
	}
}

// bound is a limit of time with the slack that was asked for.
func (t *Trial) bound(limit time.Duration) time.Duration {
	return limit * time.Duration(max(t.slack, 1))
}

// String is the trial in one line.
func (t Trial) String() string {
	var parts []string
	if l := t.Load.Latency; t.Load.Requests > 0 {
		parts = append(parts, fmt.Sprintf("%d requests, %d errors, %d closes, median %s, p99 %s, worst %s",
			t.Load.Requests, t.Load.Errors(), t.Load.Closes(), Readable(l.Median), Readable(l.P99), Readable(l.Worst)))
	}
	for _, timed := range Timings([]Trial{t}) {
		parts = append(parts, timed.short())
	}
	verdict := "ok"
	if len(t.Failures) > 0 {
		verdict = "FELL SHORT: " + strings.Join(t.Failures, "; ")
	}
	return strings.Join(append(parts, t.Notes...), ", ") + "  " + verdict
}

// Timing is all the times that something took in some trials, or the amounts.
type Timing struct {
	What   string
	Limit  time.Duration
	In     Unit
	Sample measure.Sample
}

// Timings are those of the trials, in the order in which each first came.
func Timings(trials []Trial) (all []Timing) {
	for _, trial := range trials {
		for _, m := range trial.Measured {
			i := slices.IndexFunc(all, func(t Timing) bool { return t.What == m.What })
			if i < 0 {
				i = len(all)
				all = append(all, Timing{What: m.What, Limit: m.Limit, In: m.In})
			}
			all[i].Sample = append(all[i].Sample, float64(m.Took)/float64(time.Millisecond))
		}
	}
	return all
}

// TimingOf is one of them; it is empty if there is none of that name.
func TimingOf(trials []Trial, what string) Timing {
	for _, t := range Timings(trials) {
		if t.What == what {
			return t
		}
	}
	return Timing{What: what}
}

// Quantile is that of the amounts.
func (t Timing) Quantile(q float64) time.Duration {
	return time.Duration(math.Round(t.Sample.Quantile(q) * float64(time.Millisecond)))
}

// Cells are n, median, p99 and worst: of times and sizes the largest, of ratios the smallest.
func (t Timing) Cells() []string {
	worst := 1.0
	if t.In == Ratio {
		worst = 0
	}
	text := func(q float64) string { return t.In.Text(t.Quantile(q)) }
	return []string{fmt.Sprint(len(t.Sample)), text(0.5), text(0.99), text(worst)}
}

// short is the timing of one trial, in which some things come more than once.
func (t Timing) short() string {
	text := t.In.Text(t.Quantile(1))
	if n := len(t.Sample); n > 1 {
		return fmt.Sprintf("%s %d times, at most %s", t.What, n, text)
	}
	return t.What + " " + text
}

// Readable is a duration as a reader wants it, in milliseconds.
func Readable(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.2f ms", ms)
	}
}
