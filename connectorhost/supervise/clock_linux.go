package supervise

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is the time since the machine was started, in nanoseconds: the same for all its processes, never set, and
// going on while the machine sleeps.
func bootClock() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Now().UnixNano() // cannot be: Linux has had it for longer than Go
	}
	return now.Nano()
}
