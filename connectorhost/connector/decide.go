package connector

import (
	"errors"
	"math/rand/v2"
	"time"
)

// action is what the loop does about an error of a Source or a Sink.
type action int

const (
	reconnect action = iota
	wait
	askAgain
	reconnectRarely
	giveUp
)

// react decides about an error. The worst of what it wraps counts.
func react(err error) action {
	switch {
	case errors.Is(err, ErrDefinition), errors.Is(err, ErrFenced):
		return giveUp
	case errors.Is(err, ErrRefused):
		return reconnectRarely
	case errors.Is(err, ErrNotConnected):
		return reconnect
	case errors.Is(err, ErrHeld):
		return askAgain
	case errors.Is(err, ErrBackOff):
		return wait
	}
	return reconnect
}

// attempt is what is known of one attempt when it is over.
type attempt struct {
	err      error // of the Invoker
	number   int   // as in Message.Attempt; counted ones only
	broken   int   // how many attempts with this delivery were interrupted, this one included
	max      int
	draining bool // the connector is being stopped
	ended    bool // its time to finish is over
	can      Capabilities
}

// step is what is done after an attempt.
type step struct {
	settle  bool // with the verdict; else the message is tried again
	verdict Verdict
	counted bool // the attempt blames the message
	fenced  bool // and nothing else matters
}

// aside is the verdict about a message that is not to be tried again.
func (c Capabilities) aside() Verdict {
	if c.DeadLetter {
		return Park
	}
	return Drop
}

// mostInterruptions is how often a server may end under one message. Whoever stops or kills servers hits a message once
// or twice; pauses that grow see to it that the same trouble does not hit it more often. What still ends one server after
// the other is the message itself.
func mostInterruptions(maxAttempts int) int { return max(10, 2*maxAttempts) }

// judge decides about an attempt. A message is parked, or dropped, only upon an answer that blames it, or when too many
// servers have ended under it: however often connections and hosts died with it in hand, it is tried once more.
func judge(a attempt) step {
	switch {
	case a.err == nil:
		return step{settle: true, verdict: Accept}
	case errors.Is(a.err, ErrFenced):
		return step{fenced: true}
	case a.ended && !a.can.Redelivers:
		return step{settle: true, verdict: a.can.aside()}
	case a.ended:
		return step{settle: true, verdict: GiveBack}
	case errors.Is(a.err, ErrUnfit):
		return step{settle: true, verdict: a.can.aside(), counted: true}
	case errors.Is(a.err, ErrInterrupted) && a.broken >= mostInterruptions(a.max):
		return step{settle: true, verdict: a.can.aside()}
	case errors.Is(a.err, ErrUnavailable), errors.Is(a.err, ErrInterrupted):
		return step{settle: a.draining && a.can.Redelivers, verdict: GiveBack}
	case a.number >= a.max:
		return step{settle: true, verdict: a.can.aside(), counted: true}
	case !a.can.Redelivers:
		return step{counted: true}
	}
	return step{settle: a.draining || !a.can.RetryInPlace, verdict: GiveBack, counted: true}
}

// pauses are growing delays with jitter.
type pauses struct {
	least, most time.Duration
	factor      int // by which they grow
}

// Between attempts it is short at first, because the message keeps its place in flight from others, and long soon,
// because what ails a service takes its time. After interruptions it becomes longest: what ends servers must leave them
// time to start again, and to finish the messages beside it.
var (
	betweenAttempts  = pauses{2 * time.Millisecond, 5 * time.Second, 5}
	whileUnavailable = pauses{50 * time.Millisecond, 2 * time.Second, 2}
	afterInterrupted = pauses{50 * time.Millisecond, 10 * time.Second, 3}
	whileHeld        = pauses{50 * time.Millisecond, 500 * time.Millisecond, 2}
	whileBackingOff  = pauses{50 * time.Millisecond, 2 * time.Second, 2}
	toReconnect      = pauses{100 * time.Millisecond, 2 * time.Second, 2}
	afterRefusal     = pauses{time.Second, 30 * time.Second, 2}
)

// after returns the pause behind the n-th failure in a row, from 1: a random time in the upper half of one that grows,
// so that many connectors do not return in step.
func (p pauses) after(n int) time.Duration {
	delay := p.least
	for i := 1; i < n && delay < p.most; i++ {
		delay *= time.Duration(p.factor)
	}
	delay = min(delay, p.most)
	return delay/2 + rand.N(delay/2+1)
}
