package supervise

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is every connector as it is at a time, by name.
func (d *Desk) Status(now time.Time) []Status {
	all := make([]Status, 0, len(d.connectors))
	for _, c := range d.connectors {
		all = append(all, c.status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (c *connector) status(now time.Time) Status {
	s := Status{Name: c.want.Name, Kind: c.want.Kind, Hash: c.want.Hash, State: Starting, Restarts: c.restarts}
	waits := now.Before(c.until)
	switch child := c.now; {
	case child != nil:
		s.Hash, s.PID, s.Since = child.definition.Hash, child.pid, child.since
		s.State, s.Why = cmp.Or(child.said.State, Starting), child.said.Why
		s.Counters, s.Info = child.said.Counters, child.said.Info
		if child.phase >= draining {
			s.State = Draining
		}
	case c.fenced:
		s.State, s.Why = Fenced, c.why
	case waits && c.failed:
		s.State, s.Why, s.Until = Failed, c.why, c.until
	case waits:
		s.State, s.Why, s.Until = BackingOff, c.why, c.until
	}
	trouble := ""
	if s.Replacement, trouble = c.replacement(waits); trouble != "" {
		s.Why = strings.TrimPrefix(s.Why+"; the definition before runs on, the changed one is "+s.Replacement+": "+trouble, "; ")
	}
	return s
}

// replacement is what becomes of a changed definition, and what keeps it from coming into force, if that is known: a new
// process is blamed for what ended the one before it, until it is prepared.
func (c *connector) replacement(waits bool) (state, trouble string) {
	switch {
	case c.now == nil || c.removed || c.now.definition.Hash == c.want.Hash:
	case c.next != nil && c.next.phase != preparing:
		return string(c.next.said.State), ""
	case c.next != nil:
		return string(cmp.Or(c.next.said.State, Starting)), cmp.Or(c.next.said.Why, c.why)
	case waits:
		return fmt.Sprintf("%s until %s", BackingOff, c.until.Format(time.TimeOnly)), c.why
	}
	return "", ""
}
