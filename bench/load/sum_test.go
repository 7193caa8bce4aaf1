package load

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTheSumOfTheRunsIsOneRun records outcomes in one run, and the same ones shared out among several.
func TestTheSumOfTheRunsIsOneRun(t *testing.T) {
	outcomes := []outcome{
		{status: 200, instance: "a"},
		{status: 503, announcedClose: true},
		{status: 204, instance: "b", reconnected: true},
		{failure: Reset},
		{failure: SilentClose},
	}
	rapid.Check(t, func(t *rapid.T) {
		whole := newRecorder(4)
		var parts []*recorder
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			parts = append(parts, newRecorder(4))
		}
		for range rapid.IntRange(0, 40).Draw(t, "requests") {
			out := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			due := time.Now().Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "latency")))
			for _, r := range []*recorder{whole, rapid.SampledFrom(parts).Draw(t, "run")} {
				r.record(out, due, 0, 0)
			}
		}
		var reports []Report
		var elapsed time.Duration
		for _, part := range parts {
			part.finish()
			reports = append(reports, part.report())
			elapsed += reports[len(reports)-1].Elapsed
		}
		sum, want := Sum(reports), whole.report()
		if sum.Elapsed != elapsed || sum.Errors() != want.Errors() || (sum.FirstError == "") != (want.FirstError == "") {
			t.Fatalf("%s, want %s", sum, want)
		}
		close := func(got, want time.Duration) bool { // the clock went on between the two
			return (got - want).Abs() <= want/50+100*time.Millisecond
		}
		got, wanted := sum.Latency, want.Latency
		if got.Count != wanted.Count || !close(got.Median, wanted.Median) || !close(got.P99, wanted.P99) || !close(got.Worst, wanted.Worst) {
			t.Fatalf("%+v, want %+v", got, wanted)
		}
		for _, r := range []*Report{&sum, &want} { // what was compared already, or is told from a clock
			r.Elapsed, r.Latency, r.latencies, r.ErrorsPerSecond, r.FirstError = 0, Latency{}, nil, nil, ""
		}
		if !reflect.DeepEqual(sum, want) {
			t.Fatalf("%+v, want %+v", sum, want)
		}
	})
}

func TestTheSumOfNothing(t *testing.T) {
	if sum := Sum(nil); sum.Requests != 0 || sum.Latency != (Latency{}) || sum.Errors() != 0 {
		t.Error(sum)
	}
	if sum := Sum([]Report{{Requests: 2, Statuses: map[int]int{200: 2}}}); sum.Requests != 2 || sum.Errors() != 0 {
		t.Error(sum)
	}
}
