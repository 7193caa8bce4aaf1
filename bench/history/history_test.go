package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var zero = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// run is one from a millisecond to another; to -1 it goes on.
func run(host, connector string, epoch uint64, from, to int) Run {
	r := Run{Host: host, Connector: connector, Epoch: epoch, Start: at(from)}
	if to >= 0 {
		r.Stop = at(to)
	}
	return r
}

func TestFaultsOfRunsAreFoundAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		runs []Run
		want []Kind
	}{
		"none":               {nil, nil},
		"one after another":  {[]Run{run("a", "x", 1, 0, 10), run("b", "x", 2, 10, -1)}, nil},
		"two connectors":     {[]Run{run("a", "x", 1, 0, -1), run("a", "y", 1, 0, -1)}, nil},
		"a restart":          {[]Run{run("a", "x", 1, 0, 10), run("a", "x", 1, 11, -1)}, nil},
		"at once":            {[]Run{run("a", "x", 1, 0, 11), run("b", "x", 2, 10, -1)}, []Kind{Overlap}},
		"at once, the same":  {[]Run{run("a", "x", 1, 0, -1), run("a", "x", 1, 10, -1)}, []Kind{Overlap}},
		"inside another":     {[]Run{run("a", "x", 1, 0, 20), run("b", "x", 2, 5, 6), run("b", "x", 2, 7, 8)}, []Kind{Overlap, Overlap}},
		"no length":          {[]Run{run("a", "x", 1, 0, 20), run("b", "x", 2, 5, 5)}, nil},
		"backwards":          {[]Run{run("a", "x", 1, 10, 5)}, []Kind{Backwards}},
		"an epoch sinks":     {[]Run{run("a", "x", 2, 0, 10), run("b", "x", 1, 10, 20)}, []Kind{Regression}},
		"an epoch is shared": {[]Run{run("a", "x", 2, 0, 10), run("b", "y", 2, 10, 20)}, []Kind{Shared}},
	} {
		slices.Reverse(c.runs) // the order does not matter
		var got []Kind
		for _, f := range Check(c.runs) {
			got = append(got, f.Kind)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// shareTime is the definition: some instant belongs to both.
func shareTime(a, b Run) bool {
	for ms := range 60 {
		within := func(r Run) bool {
			return !at(ms).Before(r.Start) && (r.Stop.IsZero() || at(ms).Before(r.Stop))
		}
		if within(a) && within(b) {
			return true
		}
	}
	return false
}

func anyRuns(t *rapid.T) []Run {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Run {
		from := rapid.IntRange(0, 40).Draw(t, "from")
		to := rapid.IntRange(from, 41).Draw(t, "to")
		if to == 41 {
			to = -1
		}
		return run(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "connector"), 1, from, to)
	}), 0, 8).Draw(t, "runs")
}

func TestAnOverlapIsFoundIfAndOnlyIfSomeInstantBelongsToTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs := anyRuns(t)
		shared := false
		for i, a := range runs {
			for _, b := range runs[:i] {
				shared = shared || a.Connector == b.Connector && shareTime(a, b)
			}
		}
		found := slices.ContainsFunc(Check(runs), func(f Fault) bool { return f.Kind == Overlap })
		if found != shared {
			t.Fatalf("found %v, is %v: %v", found, shared, runs)
		}
		shuffled := rapid.Permutation(runs).Draw(t, "shuffled")
		if len(Check(shuffled)) == 0 != (len(Check(runs)) == 0) {
			t.Fatal("the order matters")
		}
	})
}

func TestASuccessionOfTenuresHasNoFaultAndOneThatIsHeldTooLongHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var runs []Run
		now, epoch := 0, uint64(0)
		for range rapid.IntRange(2, 10).Draw(t, "tenures") {
			epoch += rapid.Uint64Range(1, 3).Draw(t, "step")
			length := rapid.IntRange(1, 9).Draw(t, "length")
			for _, connector := range []string{"x", "y"} {
				runs = append(runs, run(fmt.Sprint("host-", epoch), connector, epoch, now, now+length))
			}
			now += length + rapid.IntRange(0, 5).Draw(t, "gap")
		}
		if faults := Check(runs); faults != nil {
			t.Fatalf("%v", faults)
		}
		late := rapid.IntRange(0, len(runs)-3).Draw(t, "late") // not of the last tenure
		runs[late].Stop = runs[late-late%2+2].Start.Add(time.Millisecond)
		faults := Check(runs)
		if len(faults) == 0 || faults[0].Kind != Overlap || faults[0].By != time.Millisecond {
			t.Fatalf("%v", faults)
		}
	})
}

func TestEffectsOfAnEarlierEpochAreStale(t *testing.T) {
	effects := []Effect{
		{Connector: "x", Message: "1", Epoch: 7, At: at(0)},
		{Connector: "x", Message: "4", Epoch: 7, At: at(30)},
		{Connector: "x", Message: "2", Epoch: 8, At: at(20)},
		{Connector: "y", Message: "3", Epoch: 7, At: at(25)},
		{Connector: "x", Message: "5", Epoch: 8, At: at(40)},
	}
	faults := CheckEffects(effects)
	if len(faults) != 1 || faults[0].Kind != Stale || !strings.Contains(faults[0].String(), "message 4 of x under epoch 7") {
		t.Errorf("%v", faults)
	}
}

func TestNeverStaleIfEpochsGrowWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var effects []Effect
		for ms, step := range rapid.SliceOf(rapid.Uint64Range(0, 2)).Draw(t, "steps") {
			epoch := step
			if ms > 0 {
				epoch += effects[ms-1].Epoch
			}
			effects = append(effects, Effect{Connector: "x", Message: fmt.Sprint(ms), Epoch: epoch, At: at(ms)})
		}
		if faults := CheckEffects(rapid.Permutation(effects).Draw(t, "shuffled")); faults != nil {
			t.Fatalf("%v", faults)
		}
	})
}

func TestTheSilenceIsTheLongestFromTheLastEffectBeforeTheFault(t *testing.T) {
	effects := []Effect{
		{Connector: "x", Message: "6", Epoch: 8, At: at(250)},
		{Connector: "x", Message: "1", Epoch: 7, At: at(0)},
		{Connector: "x", Message: "2", Epoch: 7, At: at(90)},
		{Connector: "x", Message: "3", Epoch: 7, At: at(100)},
		{Connector: "y", Message: "4", Epoch: 7, At: at(150)},
		{Connector: "x", Message: "5", Epoch: 8, At: at(200)},
	}
	if longest, ok := Silence(effects, "x", at(110)); !ok || longest != 100*time.Millisecond {
		t.Errorf("%v %v", longest, ok)
	}
	if _, ok := Silence(effects, "x", at(250)); ok {
		t.Error("there is a silence that has not ended")
	}
	if _, ok := Silence(effects, "y", at(0)); ok {
		t.Error("there is a silence that has not begun")
	}
	if first, ok := Next(effects, "x", at(110), 8); !ok || !first.Equal(at(200)) {
		t.Errorf("%v %v", first, ok)
	}
	if _, ok := Next(effects, "x", at(110), 9); ok {
		t.Error("there is an effect of no epoch")
	}
}

func TestWhatComesTwiceIsCounted(t *testing.T) {
	effects := []Effect{{Connector: "x", Message: "1"}, {Connector: "y", Message: "1"}, {Connector: "x", Message: "1"}, {Connector: "x", Message: "1"}}
	if n := Repeated(effects); n != 2 {
		t.Errorf("%d", n)
	}
}

func TestLostMessages(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	runs := []Run{{Connector: "a", Start: at(0), Stop: at(10)}, {Connector: "a", Start: at(11)}, {Connector: "b", Start: at(0)}}
	effects := []Effect{{Connector: "a", Message: "a-1"}}
	var taken []Taken
	for message, when := range map[string]float64{"a-1": 1, "a-2": 8.4, "a-3": 8.6, "a-4": 10, "a-5": 10.1, "a-6": 11.1, "b-1": 9} {
		taken = append(taken, Taken{Connector: message[:1], Message: message, At: at(when)})
	}
	names := func(messages []Taken) string {
		var all []string
		for _, m := range messages {
			all = append(all, m.Message)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	inHand, otherwise := Lost(taken, effects, runs, 1500*time.Millisecond)
	if names(inHand) != "a-3 a-4 a-5" || names(otherwise) != "a-2 a-6 b-1" {
		t.Errorf("in hand %q, otherwise %q", names(inHand), names(otherwise))
	}
}
