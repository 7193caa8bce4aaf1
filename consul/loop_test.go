package consul

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var errDown = errors.New("down")

// answer is one answer of a scripted Consul: a state and its index, or an error, after the time that the query blocked.
type answer struct {
	state string
	index uint64
	err   error
	after time.Duration
}

// event is what the observer saw, and when, since the start.
type event struct {
	state string
	err   error
	at    time.Duration
}

// play runs watch against the answers, in fake time, until they are used up. It returns what was observed, and the index
// and time of each query.
func play(answers []answer) (events []event, indexes []uint64, times []time.Duration) {
	return playAt(closely, answers)
}

func playAt(pace pace, answers []answer) (events []event, indexes []uint64, times []time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	start := time.Now()
	ask := func(ctx context.Context, index uint64) (string, uint64, error) {
		if len(indexes) == len(answers) {
			cancel()
			return "", 0, ctx.Err()
		}
		indexes, times = append(indexes, index), append(times, time.Since(start))
		a := answers[len(indexes)-1]
		sleep(ctx, a.after)
		return a.state, a.index, a.err
	}
	watch(ctx, pace, ask, func(a, b string) bool { return a == b }, func(state string, err error) {
		events = append(events, event{state, err, time.Since(start)})
	})
	return events, indexes, times
}

func TestWatchIndexDiscipline(t *testing.T) {
	down := answer{err: errDown}
	for _, test := range []struct {
		name    string
		answers []answer
		indexes []uint64 // sent
		seen    []string // "!" is an error
	}{
		{"changes", []answer{{"a", 5, nil, 0}, {"b", 7, nil, 0}}, []uint64{0, 5}, []string{"a", "b"}},
		{"wait is over", []answer{{"a", 5, nil, 0}, {"a", 5, nil, 0}, {"b", 6, nil, 0}}, []uint64{0, 5, 5}, []string{"a", "b"}},
		{
			"index moves for another cause",
			[]answer{{"a", 5, nil, 0}, {"a", 9, nil, 0}, {"b", 10, nil, 0}},
			[]uint64{0, 5, 9},
			[]string{"a", "b"},
		},
		{
			"index goes backwards",
			[]answer{{"a", 50, nil, 0}, {"b", 3, nil, 0}, {"b", 3, nil, 0}, {"b", 3, nil, 0}},
			[]uint64{0, 50, 0, 3},
			[]string{"a", "b"},
		},
		{
			"index is zero",
			[]answer{{"a", 5, nil, 0}, {"a", 0, nil, 0}, {"a", 0, nil, 0}, {"a", 6, nil, 0}, {"a", 6, nil, 0}},
			[]uint64{0, 5, 0, 0, 6},
			[]string{"a"},
		},
		{"the zero state is a state", []answer{{"", 5, nil, 0}, {"", 5, nil, 0}}, []uint64{0, 5}, []string{""}},
		{
			"error drops the index and is told to be over",
			[]answer{{"a", 50, nil, 0}, down, down, {"a", 50, nil, 0}, {"a", 50, nil, 0}},
			[]uint64{0, 50, 0, 0, 50},
			[]string{"a", "!", "!", "a"},
		},
		{
			"restart with a lower index behind an error",
			[]answer{{"a", 50, nil, 0}, down, {"", 3, nil, 0}, {"a", 4, nil, 0}},
			[]uint64{0, 50, 0, 3},
			[]string{"a", "!", "", "a"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events, indexes, _ := play(test.answers)
				if !slices.Equal(indexes, test.indexes) {
					t.Errorf("asked with %v, want %v", indexes, test.indexes)
				}
				var seen []string
				for _, e := range events {
					if e.err != nil {
						e.state = "!"
					}
					seen = append(seen, e.state)
				}
				if !slices.Equal(seen, test.seen) {
					t.Errorf("observed %q, want %q", seen, test.seen)
				}
			})
		})
	}
}

// For any conversation: no index is sent that Consul did not just give, none after an error or a step backwards, and what
// is observed is the sequence of answers without repetitions.
func TestWatchProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		answers := rapid.SliceOf(rapid.Custom(func(r *rapid.T) answer {
			if rapid.IntRange(0, 3).Draw(r, "fails") == 0 {
				return answer{err: errDown}
			}
			return answer{
				state: rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "state"),
				index: rapid.Uint64Range(0, 5).Draw(r, "index"),
				after: time.Duration(rapid.IntRange(0, 100).Draw(r, "ms")) * time.Millisecond,
			}
		})).Draw(r, "answers")
		var events []event
		var indexes []uint64
		synctest.Test(t, func(*testing.T) { events, indexes, _ = play(answers) })

		var want []event
		var sent uint64
		for i, a := range answers {
			if indexes[i] != sent {
				r.Fatalf("query %d was sent with index %d, want %d", i, indexes[i], sent)
			}
			switch {
			case a.err != nil || a.index < sent:
				sent = 0
			default:
				sent = a.index
			}
			if next := (event{state: a.state, err: a.err}); a.err != nil || len(want) == 0 || want[len(want)-1] != next {
				want = append(want, next)
			}
		}
		for i := range events {
			events[i].at = 0
		}
		if !slices.Equal(events, want) {
			r.Fatalf("observed %v, want %v", events, want)
		}
	})
}

func TestWatchBacksOffAndReturnsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := slices.Repeat([]answer{{err: errDown}}, 40)
		answers = append(answers, answer{"a", 1, nil, 0}, answer{err: errDown}, answer{"a", 1, nil, 0})
		_, _, times := play(answers)
		ceiling := retryMin
		for i := 1; i <= 40; i++ {
			if gap := times[i] - times[i-1]; gap < ceiling/2 || gap > ceiling {
				t.Errorf("retry %d came after %v, want %v to %v", i, gap, ceiling/2, ceiling)
			}
			ceiling = min(2*ceiling, retryMax)
		}
		// One good answer ends the series.
		if gap := times[42] - times[41]; gap > retryMin {
			t.Errorf("the first retry after a good answer came after %v, want at most %v", gap, retryMin)
		}
	})
}

func TestWatchPacesAFlappingCatalog(t *testing.T) {
	for name, pace := range map[string]pace{"urgently": urgently, "closely": closely, "calmly": calmly} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rounds = 1000
				var answers []answer
				for i := range rounds {
					answers = append(answers, answer{state: string(rune('a' + i%2)), index: uint64(i + 1)})
				}
				_, _, times := playAt(pace, answers)
				if burst := times[pace.burst-1]; burst != 0 {
					t.Errorf("the first %d queries took %v, want no delay", pace.burst, burst)
				}
				if took, want := times[rounds-1], time.Duration(rounds-pace.burst)*pace.interval; took != want {
					t.Errorf("%d queries took %v, want %v", rounds, took, want)
				}
			})
		})
	}
}

func TestWatchKeepsUpAfterAQuietTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []answer{{"a", 1, nil, 0}, {"b", 2, nil, time.Hour}, {"c", 3, nil, 0}}
		events, _, _ := play(answers)
		if last := events[2]; last.at != time.Hour {
			t.Errorf("a change after an hour was seen at %v", last.at)
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	for name, ask := range map[string]query[string]{
		"while it blocks": func(ctx context.Context, _ uint64) (string, uint64, error) {
			<-ctx.Done()
			return "", 0, ctx.Err()
		},
		"while it backs off": func(context.Context, uint64) (string, uint64, error) { return "", 0, errDown },
		"while it is paced":  func(_ context.Context, index uint64) (string, uint64, error) { return "a", index + 1, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				ended := false
				go func() {
					defer close(done)
					watch(ctx, closely, ask, func(a, b string) bool { return a == b }, func(string, error) {
						if ended {
							t.Error("observed after the end")
						}
					})
				}()
				time.Sleep(10*time.Second + time.Millisecond)
				synctest.Wait()
				ended = true
				start := time.Now()
				cancel()
				<-done
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %v to end", took)
				}
			})
		})
	}
}
