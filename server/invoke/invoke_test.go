package invoke

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Who is let in never was below anyone let in before it.
func TestFenceOnlyEverRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fence Fence
		highest := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			epoch := rapid.Uint64Range(1, 10).Draw(t, "epoch")
			if rapid.Bool().Draw(t, "learn") {
				fence.Learn(epoch)
			} else if got := fence.Admit(epoch); got != (epoch >= highest) {
				t.Fatalf("epoch %d after %d: let in %t", epoch, highest, got)
			}
			if highest = max(highest, epoch); fence.Highest() != highest {
				t.Fatalf("highest is %d, want %d", fence.Highest(), highest)
			}
		}
	})
}

func TestFenceUnderConcurrency(t *testing.T) {
	var fence Fence
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 1000 {
				epoch := uint64(i*8 + worker + 1)
				if before := fence.Highest(); fence.Admit(epoch) && epoch < before {
					t.Errorf("epoch %d was let in after %d", epoch, before)
				}
			}
		})
	}
	wait.Wait()
	if fence.Highest() != 8000 {
		t.Errorf("highest is %d", fence.Highest())
	}
}

func TestEpochs(t *testing.T) {
	for _, c := range []struct {
		lock  string
		epoch uint64
		ok    bool
	}{
		{`{"epoch": 42}`, 42, true},
		{`{"epoch": "42", "host": "a"}`, 42, true},
		{`{"epoch": 18446744073709551615}`, 18446744073709551615, true},
		{`{"epoch": 18446744073709551616}`, 0, false},
		{`{"epoch": 0}`, 0, false},
		{`{"epoch": -1}`, 0, false},
		{`{"epoch": 1.5}`, 0, false},
		{`{"epoch": null}`, 0, false},
		{`{"epoch": ""}`, 0, false},
		{`{"host": "a"}`, 0, false},
		{`[]`, 0, false},
		{`42`, 0, false},
		{``, 0, false},
	} {
		if epoch, ok := EpochOf([]byte(c.lock)); ok != c.ok || ok && epoch != c.epoch {
			t.Errorf("%s: %d %t, want %d %t", c.lock, epoch, ok, c.epoch, c.ok)
		}
	}
	for _, bad := range []string{"", "0", "-1", "+1", " 1", "1 ", "0x1", "1e3", "18446744073709551616"} {
		if epoch, ok := ParseEpoch(bad); ok {
			t.Errorf("%q is epoch %d", bad, epoch)
		}
	}
}

var errFailed = errors.New("failed")

// A model of the window: a list of what succeeded, what is being worked on, and which message is the latest of its ID.
func TestWindowAgreesWithItsModel(t *testing.T) {
	type success struct {
		message *Message[string]
		size    int
		at      time.Time
	}
	ids := rapid.SampledFrom(strings.Split("abcdefgh", ""))
	rapid.Check(t, func(t *rapid.T) {
		bounds := Bounds{rapid.IntRange(0, 4).Draw(t, "messages"), rapid.IntRange(0, 20).Draw(t, "bytes"), 10 * time.Second}
		window := NewWindow[string](bounds)
		var working []*Message[string]
		latest := map[string]*Message[string]{}
		var succeeded []success
		now := time.Unix(0, 0)
		trim := func() {
			total := 0
			for i := len(succeeded) - 1; i >= 0; i-- {
				total += succeeded[i].size
				if len(succeeded)-i > bounds.Messages || total > bounds.Bytes || now.Sub(succeeded[i].at) >= bounds.Age {
					succeeded = slices.Clone(succeeded[i+1:])
					return
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "seconds")) * time.Second)
			},
			"begin": func(t *rapid.T) {
				id, again := ids.Draw(t, "id"), rapid.Bool().Draw(t, "again")
				trim()
				message, first := window.Begin(id, again, now)
				before := latest[id]
				remembered := before != nil && slices.ContainsFunc(succeeded, func(s success) bool { return s.message == before })
				known := before != nil && (remembered || slices.Contains(working, before))
				if first == (again && known) || !first && message != before {
					t.Fatalf("%s again %t: first is %t, remembered %t, known %t", id, again, first, remembered, known)
				}
				if !first && remembered {
					if answer, err := message.Outcome(); answer != "answer to "+id || err != nil {
						t.Fatalf("%s is remembered as %q, %v", id, answer, err)
					}
				}
				if first {
					working, latest[id] = append(working, message), message
				}
			},
			"finish": func(t *rapid.T) {
				if len(working) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(working)-1).Draw(t, "message")
				size, message := rapid.IntRange(0, 10).Draw(t, "size"), working[i]
				working = slices.Delete(working, i, i+1)
				if rapid.Bool().Draw(t, "fails") {
					window.Finish(message, "", 0, errFailed, now)
				} else {
					window.Finish(message, "answer to "+message.id, size, nil, now)
					succeeded = append(succeeded, success{message, size, now})
				}
				trim()
				<-message.Done()
			},
			"": func(t *rapid.T) {
				remembered, in := window.Size()
				if in != len(working) || remembered > bounds.Messages {
					t.Fatalf("%d remembered, %d being worked on; want at most %d and %d", remembered, in, bounds.Messages, len(working))
				}
			},
		})
	})
}

// However many come at once with one ID, as long as one is being worked on nobody else works, and all get its outcome.
func TestConcurrentDuplicatesRunOnce(t *testing.T) {
	window := NewWindow[int](Bounds{1000, 1000, time.Minute})
	var running [20]atomic.Int32
	var runs atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 2000 {
				id := i % len(running)
				message, first := window.Begin(fmt.Sprint(id), true, time.Unix(0, 0))
				if first {
					runs.Add(1)
					if running[id].Add(1) != 1 {
						t.Error("two work on one message")
					}
					running[id].Add(-1)
					window.Finish(message, id, 1, nil, time.Unix(0, 0))
				}
				<-message.Done()
				if got, err := message.Outcome(); got != id || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, id)
				}
			}
		})
	}
	wait.Wait()
	if runs.Load() != int64(len(running)) {
		t.Errorf("%d runs of %d messages", runs.Load(), len(running))
	}
}
