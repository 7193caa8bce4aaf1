package main

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTheWindowSendsWhatWasNotSentAndNothingTwice compares the window with the plain rules: a message is begun unless it
// is on its way, or was sent not long ago and is among the latest.
func TestTheWindowSendsWhatWasNotSentAndNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 4).Draw(t, "size")
		w := newWindow(size, time.Minute)
		now := time.Unix(1e9, 0)
		under := map[string]*sending{}
		type past struct {
			key string
			at  time.Time
		}
		var sent []past
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			key := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "key"))
			if s := under[key]; s != nil && rapid.Bool().Draw(t, "finish") {
				ok := rapid.Bool().Draw(t, "sent")
				w.finish(s, reply{status: 200}, ok, now)
				delete(under, key)
				if ok {
					sent = append(sent, past{key, now})
					sent = sent[max(0, len(sent)-size):]
				}
				continue
			}
			known := under[key] != nil
			for _, p := range sent {
				known = known || p.key == key && now.Sub(p.at) < time.Minute
			}
			s, first := w.begin(key, now)
			if first == known {
				t.Fatalf("%s is known: %t, begun: %t", key, known, first)
			}
			if first {
				under[key] = s
			}
		}
		if w.len() > size+len(under) {
			t.Fatalf("it knows %d messages", w.len())
		}
	})
}
