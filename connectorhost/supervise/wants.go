package supervise

import "time"

// settle compares what a connector is with what it is to be.
func (d *Desk) settle(now time.Time, c *connector) []Action {
	w := wants{desk: d, now: now}
	if c.now == nil && c.next != nil {
		c.now, c.next = c.next, nil
	}
	for _, child := range []*child{c.now, c.next} {
		if child != nil {
			w.hear(child)
		}
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
		if !c.fenced {
			c.now = w.start(c)
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

// start starts a child as the connector is to be, or returns nil if it is not yet time for that.
func (w *wants) start(c *connector) *child {
	if w.now.Before(c.until) || w.desk.starting(w.now) >= w.desk.policy.AtOnce {
		return nil
	}
	w.desk.children++
	child := &child{id: w.desk.children, definition: c.want, since: w.now}
	w.do(DoStart, child)
	return child
}

// hear kills a child that is mute: it has not even seen to it that it ends with the lease.
func (w *wants) hear(child *child) {
	if child.silent() && !child.started.IsZero() && !w.now.Before(child.started.Add(w.desk.policy.Mute)) {
		child.mute = true
		w.kill(child)
	}
}

func (w *wants) begin(child *child) {
	child.phase, child.went = going, w.now
	w.do(DoGo, child)
}

// replace prepares another child beside the one that runs, which ends when that is done.
func (w *wants) replace(c *connector) {
	switch {
	case c.next == nil:
		c.next = w.start(c)
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
