package state

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is what has to be done to a pool, and what was left undone on purpose. Its zero value changes nothing.
type Plan struct {
	Grow    int      // the number of slots to have, or 0 to leave it; growing costs a reload
	Changes []Change // at most one for each slot, in the pool's order
	Held    []Change // removals, falls to a weight of 0 among them, that the guard did not let through
	Waiting []Member // newcomers for whom there is no slot, if the pool may not grow
}

// Change gives a slot another occupant, or the same occupant another address, weight or mode.
type Change struct {
	Slot   string `json:"slot"`
	Before Member `json:"before"`
	After  Member `json:"after"`
}

// Empty says whether the plan changes nothing. It may still hold something back, or have somebody wait.
func (p Plan) Empty() bool { return p.Grow == 0 && len(p.Changes) == 0 }

// ApplyTo is the pool after the plan; the pool given is left as it was.
func (p Plan) ApplyTo(pool Pool) Pool {
	pool.Slots = slices.Clone(pool.Slots)
	if p.Grow > 0 {
		pool.grow(p.Grow)
	}
	changes := p.Changes
	for i := range pool.Slots {
		slot := &pool.Slots[i]
		if len(changes) == 0 || changes[0].Slot != slot.Name {
			continue
		}
		change := changes[0]
		changes = changes[1:]
		slot.Member, slot.Last = change.After, ""
		if slot.Free() {
			pool.Frees++
			slot.Freed, slot.Last = pool.Frees, change.Before.Key
		}
	}
	return pool
}

// Kind names what a change does, in one word.
func (c Change) Kind() string {
	switch {
	case c.Before.Key == "":
		return "fill"
	case c.After.Key == "":
		return "free"
	case c.Before.Key != c.After.Key:
		return "replace"
	case c.Before.Address != c.After.Address || c.Before.Port != c.After.Port:
		return "move"
	case c.Before.Mode != c.After.Mode:
		return string(c.After.Mode)
	case c.Before.Weight != c.After.Weight:
		return "reweigh"
	default:
		return "limit"
	}
}

// String reads like a line of a log: what happens to which slot.
func (c Change) String() string {
	return fmt.Sprintf("%s %s: %s -> %s", c.Slot, c.Kind(), c.Before, c.After)
}

// String is "nobody", or the member's name, address, weight, limit if it has one, and mode.
func (m Member) String() string {
	if m.Key == "" {
		return "nobody"
	}
	limit := ""
	if m.MaxConn > 0 {
		limit = fmt.Sprintf(" maxconn %d", m.MaxConn)
	}
	return fmt.Sprintf("%s %s:%d weight %d%s %s", m.ID, m.Address, m.Port, m.Weight, limit, m.Mode)
}

// String is the plan as text, a line for each thing done or left undone.
func (p Plan) String() string {
	var lines strings.Builder
	if p.Grow > 0 {
		fmt.Fprintf(&lines, "grow to %d slots\n", p.Grow)
	}
	for _, change := range p.Changes {
		fmt.Fprintln(&lines, change)
	}
	for _, change := range p.Held {
		fmt.Fprintf(&lines, "held: %s\n", change)
	}
	for _, member := range p.Waiting {
		fmt.Fprintf(&lines, "waits for a slot: %s\n", member)
	}
	return lines.String()
}
