package consul

import (
	"errors"
	"fmt"
	"time"
)

// fenceBackoff keeps a host from taking the lease again and again where it cannot keep it: Consul, or the machine, is too
// slow for the beats then, and every takeover is work that makes it slower still.
type fenceBackoff struct {
	ttl    time.Duration
	fenced int       // times in a row
	until  time.Time // the lease is left to others
}

// What counts as in a row, and how long the rest is at most, in TTLs.
const (
	steady   = 30 // a tenure of so long was a good one
	mostRest = 4
)

// errRestless says that this host rests.
var errRestless = errors.New("the lease could not be kept, time and again")

// ended notes how a tenure ended, and how long it was. The first to be fenced is nothing: Consul's leader has changed,
// say. Each further one in a row makes the rest twice as long, from one TTL on. What it returns tells of a rest, or is
// nil.
func (b *fenceBackoff) ended(cause error, held time.Duration) error {
	if held >= steady*b.ttl {
		b.fenced = 0
	}
	if !errors.Is(cause, ErrFenced) {
		return nil
	}
	if b.fenced++; b.fenced == 1 {
		return nil
	}
	rest := b.ttl * time.Duration(min(1<<min(b.fenced-2, 8), mostRest))
	b.until = time.Now().Add(rest)
	return fmt.Errorf("%w: it is left to other hosts for %v (see how busy Consul and this machine are; a longer TTL bears more)", errRestless, rest)
}

// rest is for how long the lease is still left to others.
func (b *fenceBackoff) rest() time.Duration { return max(0, time.Until(b.until)) }
