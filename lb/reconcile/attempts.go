package reconcile

import "time"

// attempts keep reloads apart that do not help: each that fails doubles the wait for the next one. A reload costs a new
// worker, beside the old ones that still have connections. The zero value has seen no failure.
type attempts struct {
	err   error // why the last one did not help
	delay time.Duration
	next  time.Time
}

// longestDelay is how soon, at the latest, what an operator has mended meanwhile is tried again.
const longestDelay = 30 * time.Second

// due says whether it is time for another attempt.
func (a *attempts) due(now time.Time) bool { return !now.Before(a.next) }

// failed notes an attempt that did not help, and returns the error.
func (a *attempts) failed(now time.Time, err error) error {
	a.delay = min(max(2*a.delay, retryDelay), longestDelay)
	a.err, a.next = err, now.Add(a.delay)
	return err
}

// succeeded forgets the failures.
func (a *attempts) succeeded() { *a = attempts{} }
