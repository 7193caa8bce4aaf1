// Package address is what a load balancer has to do with the virtual address that it shares with others: it tells
// keepalived how well it serves, so that the address is where HAProxy answers, and it gives the address away without a
// failed request when an operator wants that.
//
// One case. Load balancers a and b share 10.0.0.100, and a has it. On both, [Track] asks HAProxy for its monitor twenty
// times a second and writes what [Judge] makes of the answers into a file that keepalived follows: 0. HAProxy of a is
// killed; two refusals later a's file says [Fault], a's keepalived lets go of the address, and b's takes it. The
// controller of a has meanwhile started HAProxy again; a second later a's file says 0, and as both are equally good, the
// address stays at b. That the controller is dead does not matter to Judge, as HAProxy serves without it; nor that the
// process that tracks is started anew.
//
// Then somebody has to work on b and says `lb yield` there. [Yield] has HAProxy close each connection to the address
// behind its next answer; when those of before have ended, it lets no new ones begin, waits until those that are there
// have ended too, some milliseconds, makes b the worse one, and waits until a has the address. Who connects at that
// moment hears nothing and tries again after a second, as TCP does, and finds a.
package address

import "time"

// Answer is what HAProxy's monitor says.
type Answer string

// The answers.
const (
	Serving  Answer = "serving"        // 200, or anything else that is no 503
	NoServer Answer = "no server"      // 503: nobody behind it can take a request
	Silent   Answer = "does not serve" // refused, closed or late
)

// The values that keepalived adds to a node's priority. Who serves is better than who is cut off, he than who is to give
// the address away, and he than who has no servers; who does not answer at all may not have the address. Two that are
// equal leave it where it is.
const (
	Good    = 0
	Alone   = -5
	Yielded = -10
	Empty   = -20
	Fault   = -254 // keepalived's value for a node that lets go at once
)

// The times for which an answer has to be heard without another before it counts: a restarted HAProxy has to prove
// itself, and servers that are all away for a moment are no reason to move.
const (
	provenAfter = time.Second
	emptyAfter  = time.Second
	silentAfter = 40 * time.Millisecond // so that one lost answer does not count
)

// Judge makes a verdict of answers. The zero value has heard none, and takes HAProxy for dead.
type Judge struct {
	counts Answer // "" at the start
	heard  Answer // last
	since  time.Time
}

// resumed goes on with the answer that counted when a value was told.
func resumed(value int) *Judge {
	switch {
	case value <= Fault:
		return &Judge{}
	case value <= Empty:
		return &Judge{counts: NoServer}
	default:
		return &Judge{counts: Serving}
	}
}

// Hear takes note of an answer, and says whether another one counts now than before.
func (j *Judge) Hear(at time.Time, answer Answer) (changed bool) {
	if answer != j.heard {
		j.heard, j.since = answer, at
	}
	need := map[Answer]time.Duration{Serving: provenAfter, NoServer: emptyAfter, Silent: silentAfter}[answer]
	if j.counts == answer || at.Sub(j.since) < need {
		return false
	}
	j.counts = answer
	return true
}

// Counts is the answer that counts.
func (j *Judge) Counts() Answer {
	if j.counts == "" {
		return Silent
	}
	return j.counts
}

// Value is what keepalived is told.
func (j *Judge) Value(yielded, alone bool) int {
	value := Good
	switch j.Counts() {
	case Silent:
		return Fault
	case NoServer:
		value = Empty
	}
	if yielded {
		value += Yielded
	}
	if alone {
		value += Alone
	}
	return value
}
