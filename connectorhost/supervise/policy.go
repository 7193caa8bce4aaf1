package supervise

import (
	"runtime"
	"time"
)

// Policy is how patient the desk is.
type Policy struct {
	FirstDelay time.Duration // between the end of a child and its next start; doubles with each failure in a row
	MaxDelay   time.Duration
	Stable     time.Duration // a child that received for so long has succeeded: its end is the first failure in a row
	Drain      time.Duration // longest time from the order to drain to the end
	// AtOnce is how many children may be on the way from their start to their first report, for which each needs a
	// processor. More would be there no sooner, and take the processors from whoever keeps the lease.
	AtOnce int
	Slow   time.Duration // a child that has reported nothing for so long does not count there
	Mute   time.Duration // a child whose process has reported nothing for so long is killed, and has failed
}

// DefaultPolicy suits connectors.
func DefaultPolicy() Policy {
	return Policy{
		FirstDelay: 100 * time.Millisecond, MaxDelay: 30 * time.Second, Stable: 30 * time.Second, Drain: 10 * time.Second,
		AtOnce: 2 * runtime.NumCPU(), Slow: time.Second, Mute: 15 * time.Second,
	}
}
