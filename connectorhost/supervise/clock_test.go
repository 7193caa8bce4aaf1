package supervise

import (
	"testing"
	"time"
)

func TestTheClockIsCountedOnWhileTheOthersAgree(t *testing.T) {
	const ms = int64(time.Millisecond)
	last := reading{steady: 1000 * ms, wall: 7_000_000 * ms, boot: 3000 * ms}
	for name, test := range map[string]struct {
		steady, wall int64 // milliseconds since
		boot         int64
		sound        bool
	}{
		"at once":                    {0, 0, 3000, true},
		"a while later":              {60, 60, 3060, true},
		"the wall clock is slewed":   {60, 61, 3060, true},
		"too long ago":               {101, 101, 0, false},
		"the machine slept":          {1, 5001, 0, false},
		"the wall clock was set":     {10, -3000, 0, false},
		"another has read it since":  {-1, -1, 2999, true},
		"it slept, and was set back": {200, 200, 0, false},
	} {
		boot, sound := last.count(last.steady+test.steady*ms, last.wall+test.wall*ms)
		if sound != test.sound || sound && boot != test.boot*ms {
			t.Errorf("%s: %d ms, %v", name, boot/ms, sound)
		}
	}
}

func TestTheQuickClockIsTheKernels(t *testing.T) {
	var quick quickClock
	for end := time.Now().Add(3 * readingAge); time.Now().Before(end); {
		before := bootClock()
		quick := quick.now()
		if after := bootClock(); quick < before-int64(readingSlip) || quick > after+int64(readingAge) {
			t.Fatalf("%d, not in %d to %d", quick, before, after)
		}
	}
}

func BenchmarkClocks(b *testing.B) {
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			bootClock()
		}
	})
	var quick quickClock
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			quick.now()
		}
	})
}
