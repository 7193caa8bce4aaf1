package supervise

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Policy is how patient the desk is.
type Policy struct {
	FirstDelay time.Duration // between the end of a child and its next start; doubles with each failure in a row
	MaxDelay   time.Duration
	Stable     time.Duration // a child that received for so long has succeeded: its end is the first failure in a row
	Drain      time.Duration // longest time from the order to drain to the end
}

// DefaultPolicy suits connectors.
func DefaultPolicy() Policy {
	return Policy{FirstDelay: 100 * time.Millisecond, MaxDelay: 30 * time.Second, Stable: 30 * time.Second, Drain: 10 * time.Second}
}

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
	since      time.Time // of its start
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
	for _, c := range d.connectors {
		if c.now != nil || c.next != nil {
			return false
		}
	}
	return true
}

// Started says that a child has a process.
func (d *Desk) Started(id, pid int) {
	if _, child := d.find(id); child != nil {
		child.pid = pid
	}
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
	byItself := child.phase < draining
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

// blame makes the next start wait, the longer the more often it was in vain. What had received is started again at once when
// that is its first failure: mostly it goes on as if nothing had been.
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

// settle compares what a connector is with what it is to be.
func (d *Desk) settle(now time.Time, c *connector) []Action {
	w := wants{desk: d, now: now}
	if c.now == nil && c.next != nil {
		c.now, c.next = c.next, nil
	}
	switch {
	case d.stopping || c.removed:
		if c.next != nil {
			w.kill(c.next)
		}
		if c.now != nil {
			w.end(c.now)
		}
	case c.now == nil:
		if !now.Before(c.until) && !c.fenced {
			c.now = w.start(c.want)
		}
	case c.now.phase >= draining:
		w.end(c.now)
	case c.now.definition.Hash == c.want.Hash:
		if c.next != nil {
			w.kill(c.next) // the definition was changed back
		}
		if c.now.phase == prepared {
			w.begin(c.now)
		}
	case c.now.phase != going || !c.want.Beside:
		w.end(c.now)
	default:
		w.replace(c)
	}
	return w.actions
}

// wants is what the desk wants done about a connector at a time.
type wants struct {
	desk    *Desk
	now     time.Time
	actions []Action
}

func (w *wants) do(verb Verb, child *child) {
	w.actions = append(w.actions, Action{Verb: verb, Child: child.id, Definition: child.definition})
}

func (w *wants) start(definition Definition) *child {
	w.desk.children++
	child := &child{id: w.desk.children, definition: definition, since: w.now}
	w.do(DoStart, child)
	return child
}

func (w *wants) begin(child *child) {
	child.phase, child.went = going, w.now
	w.do(DoGo, child)
}

// replace prepares another child beside the one that runs, which ends when that is done.
func (w *wants) replace(c *connector) {
	switch {
	case c.next == nil:
		if !w.now.Before(c.until) {
			c.next = w.start(c.want)
		}
	case c.next.definition.Hash != c.want.Hash:
		w.kill(c.next)
	case c.next.phase == prepared:
		w.end(c.now)
	}
}

// end ends a child in the way that suits it: one that receives nothing has nothing to finish.
func (w *wants) end(child *child) {
	switch {
	case child.phase == going:
		child.phase, child.drainUntil = draining, w.now.Add(w.desk.policy.Drain)
		w.do(DoDrain, child)
	case child.phase < going, child.phase == draining && !w.now.Before(child.drainUntil):
		w.kill(child)
	}
}

func (w *wants) kill(child *child) {
	if child.phase != killed {
		child.phase = killed
		w.do(DoKill, child)
	}
}

// Next is when to look again though nothing has happened, and zero if that is not needed.
func (d *Desk) Next(now time.Time) (next time.Time) {
	sooner := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range d.connectors {
		sooner(c.until)
		if c.now != nil && c.now.phase == draining {
			sooner(c.now.drainUntil)
		}
	}
	return next
}

func (d *Desk) find(id int) (*connector, *child) {
	for _, c := range d.connectors {
		for _, child := range []*child{c.now, c.next} {
			if child != nil && child.id == id {
				return c, child
			}
		}
	}
	return nil, nil
}
