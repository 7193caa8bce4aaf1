package supervise

import (
	"cmp"
	"fmt"
	"slices"
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
	switch {
	case c.now == nil || c.removed || c.now.definition.Hash == c.want.Hash:
	case c.next != nil:
		s.Replacement = string(cmp.Or(c.next.said.State, Starting))
	case waits:
		s.Replacement = fmt.Sprintf("%s until %s: %s", BackingOff, c.until.Format(time.TimeOnly), c.why)
	}
	return s
}
