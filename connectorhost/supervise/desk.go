package supervise

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// Verb is something that the desk wants done.
type Verb string

// The verbs. Start is answered by [Desk.Started], all by [Desk.Ended] some time.
const (
	DoStart Verb = "start"
	DoGo    Verb = "go"
	DoDrain Verb = "drain"
	DoKill  Verb = "kill"
)

// Action is one thing to be done, to one child.
type Action struct {
	Verb       Verb
	Child      int // each child has a number of its own
	Definition Definition
}

// String is "start orders#3", say.
func (a Action) String() string { return fmt.Sprintf("%s %s#%d", a.Verb, a.Definition.Name, a.Child) }

// Desk decides which children are to be started, told to go, drained and killed. It knows no process, no pipe and no
// clock: what happened is told to it, with the time, and it answers with what is to be done. It belongs to one
// goroutine.
type Desk struct {
	policy     Policy
	random     func() float64 // from 0 to 1
	connectors map[string]*connector
	children   int
	stopping   bool
}

// connector is one name, with the child that serves it and perhaps the one that is to replace that.
type connector struct {
	want      Definition
	removed   bool
	now, next *child
	failures  int // in a row
	restarts  int
	until     time.Time // nothing is started before
	failed    bool      // it said so
	fenced    bool      // as it is defined now, it was refused for its epoch: nothing is started
	why       string
}

type phase int

const (
	preparing phase = iota
	prepared
	going
	draining
	killed
)

type child struct {
	id         int
	definition Definition
	phase      phase
	since      time.Time // when its start was wanted, which may have to wait for its turn
	started    time.Time // when it had a process
	mute       bool      // it was killed for having reported nothing
	went       time.Time // when it was told to go
	drainUntil time.Time
	pid        int
	said       Report
}

// NewDesk makes a desk without connectors. Delays vary by what random says.
func NewDesk(policy Policy, random func() float64) *Desk {
	return &Desk{policy: policy, random: random, connectors: map[string]*connector{}}
}

// Define says which connectors there are to be: all of them.
func (d *Desk) Define(now time.Time, definitions []Definition) []Action {
	wanted := map[string]bool{}
	for _, definition := range definitions {
		wanted[definition.Name] = true
		c := d.connectors[definition.Name]
		if c == nil {
			c = &connector{}
			d.connectors[definition.Name] = c
		}
		if c.removed || c.want.Hash != definition.Hash {
			c.failures, c.until, c.why, c.failed, c.fenced = 0, time.Time{}, "", false, false
		}
		c.want, c.removed = definition, false
	}
	for name, c := range d.connectors {
		c.removed = !wanted[name]
	}
	return d.Look(now)
}

// Stop says that everything is to drain and end, and nothing to be started any more.
func (d *Desk) Stop(now time.Time) []Action {
	d.stopping = true
	return d.Look(now)
}

// Idle says whether there is no child that has not finished.
func (d *Desk) Idle() bool {
	for range d.all() {
		return false
	}
	return true
}

// Started says that a child has a process, and returns false if that is to be killed.
func (d *Desk) Started(now time.Time, id, pid int) (wanted bool) {
	_, child := d.find(id)
	if child == nil {
		return false
	}
	child.pid, child.started = pid, now
	return child.phase != killed
}

// Said passes on what a child reports. One that has finished what it had to is not spoken of any more.
func (d *Desk) Said(now time.Time, id int, report Report) []Action {
	_, child := d.find(id)
	if child == nil {
		return nil
	}
	if report.State == Finished {
		if child.phase < draining { // nobody has told it to
			return nil
		}
		return d.Ended(now, id, "") // as far as others are concerned
	}
	child.said = report
	if report.State == Prepared && child.phase == preparing {
		child.phase = prepared
	}
	return d.Look(now)
}

// Ended says that a child's process has ended, and how.
func (d *Desk) Ended(now time.Time, id int, how string) []Action {
	c, child := d.find(id)
	if child == nil {
		return nil
	}
	byItself := child.phase < draining || child.mute
	if child.mute {
		how = fmt.Sprintf("it reported nothing within %v of its start and was killed: it was stopped, or had no processor", d.policy.Mute)
	}
	if c.next == child {
		c.next = nil
	} else {
		c.now = nil
	}
	switch {
	case child.said.State == Fenced && child.definition.Hash == c.want.Hash:
		c.fenced, c.why = true, child.said.Why
	case byItself:
		d.blame(now, c, child, how)
	}
	return d.Look(now)
}

// blame makes the next start wait, the longer the more often it was in vain. What had received is started again at once
// when that is its first failure: mostly it goes on as if nothing had been.
func (d *Desk) blame(now time.Time, c *connector, child *child, how string) {
	if child.phase == going && now.Sub(child.went) >= d.policy.Stable {
		c.failures = 0
	}
	c.failed = child.said.State == Failed
	c.why = how
	if child.said.Why != "" && child.said.State != Running {
		c.why = child.said.Why
	}
	delay := d.policy.MaxDelay
	switch {
	case c.failed:
	case c.failures == 0 && child.phase == going:
		delay = 0
	case c.failures < 30:
		delay = min(delay, d.policy.FirstDelay<<c.failures)
	}
	c.failures++
	c.restarts++
	c.until = now.Add(delay/2 + time.Duration(d.random()*float64(delay/2)))
}

// Look says what is to be done by now. Whoever has the desk calls it at the latest at the time that Next names.
func (d *Desk) Look(now time.Time) (actions []Action) {
	for _, name := range slices.Sorted(maps.Keys(d.connectors)) {
		c := d.connectors[name]
		actions = append(actions, d.settle(now, c)...)
		if c.removed && c.now == nil && c.next == nil {
			delete(d.connectors, name)
		}
	}
	return actions
}

// starting is how many children have been started of late and have not yet reported anything.
func (d *Desk) starting(now time.Time) (n int) {
	for _, child := range d.all() {
		if child.silent() && now.Sub(child.since) < d.policy.Slow {
			n++
		}
	}
	return n
}

// silent says whether the child is on the way to its first report.
func (c *child) silent() bool { return c.phase == preparing && c.said.State == "" }

// Next is when to look again though nothing has happened, and zero if that is not needed.
func (d *Desk) Next(now time.Time) (next time.Time) {
	sooner := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range d.connectors {
		sooner(c.until)
	}
	for _, child := range d.all() {
		switch {
		case child.phase == draining:
			sooner(child.drainUntil)
		case child.silent():
			sooner(child.since.Add(d.policy.Slow))
			if !child.started.IsZero() {
				sooner(child.started.Add(d.policy.Mute))
			}
		}
	}
	return next
}

// all are the children that there are, each with its connector.
func (d *Desk) all() iter.Seq2[*connector, *child] {
	return func(yield func(*connector, *child) bool) {
		for _, c := range d.connectors {
			for _, child := range []*child{c.now, c.next} {
				if child != nil && !yield(c, child) {
					return
				}
			}
		}
	}
}

func (d *Desk) find(id int) (*connector, *child) {
	for c, child := range d.all() {
		if child.id == id {
			return c, child
		}
	}
	return nil, nil
}
