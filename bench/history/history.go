// Package history checks who ran a connector when, and what came of it: that never two did at once, that epochs only
// grow, and for how long nobody did. It is pure: histories come in as values, and faults go out as such.
//
// One case, walked through. host-1 ran the connector orders under epoch 7 from second 0 until it was killed at second 5,
// host-2 under epoch 8 from second 6. [Check] finds nothing. Had host-2's run begun at second 4, it would find that the
// two overlap for a second; had its epoch been 7 as well, that two hosts shared one. The services noted each message,
// with the epoch that it came under: a message of epoch 7 behind one of epoch 8 is the effect of a host whose time was
// over. [Silence] says for how long no message came around second 5.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Run is a time in which a process of a host was allowed to act for a connector.
type Run struct {
	Host, Connector string
	Epoch           uint64
	PID             int
	Start, Stop     time.Time // Stop is zero while it lasts
}

func (r Run) String() string {
	stop := "goes on"
	if !r.Stop.IsZero() {
		stop = "until " + r.Stop.Format(clock)
	}
	return fmt.Sprintf("%s on %s under epoch %d (pid %d), from %s %s", r.Connector, r.Host, r.Epoch, r.PID, r.Start.Format(clock), stop)
}

const clock = "15:04:05.000000"

// Effect is a message that a service was called with.
type Effect struct {
	Connector, Message string
	ID                 string // that the message goes by
	Redelivered        bool   // the broker says that it may have come before
	Server             string // whose process noted it: its name and the process's ID, as "server-1/4711"
	Epoch              uint64
	At                 time.Time
}

func (e Effect) String() string {
	return fmt.Sprintf("message %s of %s under epoch %d at %s in %s", e.Message, e.Connector, e.Epoch, e.At.Format(clock), e.Server)
}

// Fault is a place in a history that should not be.
type Fault struct {
	Kind   Kind
	First  string
	Second string
	By     time.Duration // of an overlap
}

// Kind says what is wrong.
type Kind string

// The kinds of faults.
const (
	Overlap    Kind = "two at once"
	Backwards  Kind = "ends before it begins"
	Regression Kind = "an epoch below an earlier one"
	Shared     Kind = "one epoch of two hosts"
	Stale      Kind = "an effect of an epoch that was over"
	Unmarked   Kind = "a message that came again and was not marked redelivered, or by another ID"
	RanTwice   Kind = "a message that was marked redelivered, and that the same process of a server ran again"
	Disorder   Kind = "a message out of its place"
)

func (f Fault) String() string {
	text := fmt.Sprintf("%s: %s", f.Kind, f.First)
	if f.Second != "" {
		text += "; " + f.Second
	}
	if f.By > 0 {
		text += fmt.Sprintf("; for %v", f.By)
	}
	return text
}

// Check finds every run that breaks the rules, in whatever order they are given: of a connector no two at once, whoever
// runs them; epochs that do not sink; and each epoch one host's. A run holds from its start up to its stop, which is no
// part of it.
func Check(runs []Run) (faults []Fault) {
	ordered := slices.SortedStableFunc(slices.Values(runs), func(a, b Run) int { return a.Start.Compare(b.Start) })
	longest := map[string]Run{} // by connector, the run that ends last of those that have begun
	highest := map[string]Run{} // by connector, the run of the highest epoch so far
	owner := map[uint64]Run{}
	for _, r := range ordered {
		if !r.Stop.IsZero() && r.Stop.Before(r.Start) {
			faults = append(faults, Fault{Kind: Backwards, First: r.String()})
			continue
		}
		if before, ok := longest[r.Connector]; ok {
			if by, overlaps := overlap(before, r); overlaps {
				faults = append(faults, Fault{Kind: Overlap, First: before.String(), Second: r.String(), By: by})
			}
		}
		if before, ok := longest[r.Connector]; !ok || endsLater(r, before) {
			longest[r.Connector] = r
		}
		if before, ok := highest[r.Connector]; ok && r.Epoch < before.Epoch {
			faults = append(faults, Fault{Kind: Regression, First: before.String(), Second: r.String()})
		} else {
			highest[r.Connector] = r
		}
		if first, ok := owner[r.Epoch]; !ok {
			owner[r.Epoch] = r
		} else if first.Host != r.Host {
			faults = append(faults, Fault{Kind: Shared, First: first.String(), Second: r.String()})
		}
	}
	return faults
}

func endsLater(a, b Run) bool {
	return !b.Stop.IsZero() && (a.Stop.IsZero() || a.Stop.After(b.Stop))
}

// overlap is for how long a later run shares time with one that began before it; 0 if both go on. A run of no length
// shares none.
func overlap(before, after Run) (by time.Duration, overlaps bool) {
	empty := func(r Run) bool { return !r.Stop.IsZero() && !r.Stop.After(r.Start) }
	if empty(before) || empty(after) || !before.Stop.IsZero() && !before.Stop.After(after.Start) {
		return 0, false
	}
	switch {
	case before.Stop.IsZero() && after.Stop.IsZero():
		return 0, true
	case before.Stop.IsZero(), !after.Stop.IsZero() && after.Stop.Before(before.Stop):
		return after.Stop.Sub(after.Start), true
	default:
		return before.Stop.Sub(after.Start), true
	}
}

// CheckEffects finds every effect of a connector that came under a lower epoch than one before it.
func CheckEffects(effects []Effect) (faults []Fault) {
	highest := map[string]Effect{}
	for _, e := range sorted(effects) {
		if before, ok := highest[e.Connector]; ok && e.Epoch < before.Epoch {
			faults = append(faults, Fault{Kind: Stale, First: before.String(), Second: e.String()})
			continue
		}
		highest[e.Connector] = e
	}
	return faults
}

func sorted(effects []Effect) []Effect {
	return slices.SortedStableFunc(slices.Values(effects), func(a, b Effect) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Epoch, b.Epoch))
	})
}

// Silence is the longest time between two effects of a connector that follow each other, of those from the last one
// before a time onwards. It is false if none came before that time, or none after.
func Silence(effects []Effect, connector string, since time.Time) (longest time.Duration, ok bool) {
	var last time.Time
	for _, e := range sorted(effects) {
		if e.Connector != connector {
			continue
		}
		if !last.IsZero() && e.At.After(since) {
			longest, ok = max(longest, e.At.Sub(last)), true
		}
		last = e.At
	}
	return longest, ok
}

// Next is when the first effect of a connector came at or after a time under at least an epoch.
func Next(effects []Effect, connector string, since time.Time, epoch uint64) (at time.Time, ok bool) {
	for _, e := range effects {
		if e.Connector == connector && e.Epoch >= epoch && !e.At.Before(since) && (!ok || e.At.Before(at)) {
			at, ok = e.At, true
		}
	}
	return at, ok
}

// Taken is a message that a connector took from its sender, by the sender's word.
type Taken struct {
	Connector, Message string
	At                 time.Time
}

// Lost are the messages that were taken and have no effect. Those that a process had in hand are told apart: one that
// took them ended within a while of it, which is how long a message waits for its turn at most, as when the server that
// has the one before it in hand is cut off; or had ended within a while before it, and no other one ran: its sender had
// not yet learned of that.
func Lost(taken []Taken, effects []Effect, runs []Run, while time.Duration) (inHand, otherwise []Taken) {
	came := map[string]bool{}
	for _, e := range effects {
		came[e.Message] = true
	}
	for _, t := range taken {
		switch {
		case came[t.Message]:
		case endedWith(t, runs, while):
			inHand = append(inHand, t)
		default:
			otherwise = append(otherwise, t)
		}
	}
	return inHand, otherwise
}

// endedWith says whether a message that was lost was in hand of a process that ended.
func endedWith(t Taken, runs []Run, while time.Duration) bool {
	some := func(is func(Run) bool) bool {
		return slices.ContainsFunc(runs, func(r Run) bool { return r.Connector == t.Connector && is(r) })
	}
	within := func(d time.Duration) bool { return 0 <= d && d <= while }
	endedSoon := some(func(r Run) bool { return within(r.Stop.Sub(t.At)) })
	hadEnded := some(func(r Run) bool { return within(t.At.Sub(r.Stop)) })
	ran := some(func(r Run) bool { return !r.Start.After(t.At) && (r.Stop.IsZero() || r.Stop.After(t.At)) })
	return endedSoon || hadEnded && !ran
}
