package supervise

import (
	"sync/atomic"
	"time"
)

const (
	readingAge  = 100 * time.Millisecond
	readingSlip = time.Millisecond // less than any lease leaves to spare
)

// quickClock is bootClock for whoever asks it for each message: a call of the kernel would be some percent of what a
// message costs. It may be used concurrently.
//
// What bootClock said last is counted on by the monotonic clock, for a while. That clock stands still while the machine
// sleeps, and the wall clock does not, so where the two no longer agree bootClock is asked again. The result may lag by
// readingSlip, and be ahead by as much as the process was held up in the middle of a reading.
type quickClock struct{ last atomic.Pointer[reading] }

// reading is what the clocks said at once, in nanoseconds; bootClock perhaps a little later than the others.
type reading struct{ steady, wall, boot int64 }

var began = time.Now()

func (q *quickClock) now() int64 {
	now := time.Now()
	steady, wall := int64(now.Sub(began)), now.UnixNano()
	if last := q.last.Load(); last != nil {
		if boot, sound := last.count(steady, wall); sound {
			return boot
		}
	}
	r := &reading{steady, wall, bootClock()}
	q.last.Store(r)
	return r.boot
}

// count is what bootClock says when the other clocks say this, if that can be told.
func (r *reading) count(steady, wall int64) (boot int64, sound bool) {
	passed := steady - r.steady
	slip := wall - r.wall - passed // the wall clock was set, or the machine slept
	return r.boot + passed, passed <= int64(readingAge) && -int64(readingSlip) <= slip && slip <= int64(readingSlip)
}
