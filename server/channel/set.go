package channel

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Written is a definition as it was found, under the name that it is kept by.
type Written struct {
	Name string
	Text []byte // a JSON object
}

// Refusal says why a definition does not hold, and whether an earlier one of its name goes on in its place.
type Refusal struct {
	Name   string
	Reason error // Faults, or a Conflict
	Kept   bool
}

// Error implements error.
func (r Refusal) Error() string {
	after := "there is no channel of this name"
	if r.Kept {
		after = "the last good definition goes on"
	}
	return fmt.Sprintf("channel %s: %v: %s", quoted(r.Name), r.Reason, after)
}

// Set is the definitions that hold. The zero value is empty. It belongs to one goroutine.
type Set struct {
	held map[string]Definition
}

// Update takes all definitions that there are now, and returns those that hold from now on, by name, with the reasons
// why others do not. A definition that is no good leaves the last good one of its name in place; a name that is gone
// loses its channel. Of two that conflict the one that was there first holds, and of two new ones the first by name. What
// is wrong with a definition beyond its form, check says: see [Definition.Validate].
func (s *Set) Update(written []Written, check func(Definition) Faults) (hold []Definition, refused []Refusal) {
	wanted, reasons := map[string]Definition{}, map[string]error{}
	names := map[string]bool{}
	for _, w := range written {
		names[w.Name] = true
		definition, faults := Decode(w.Name, w.Text)
		if faults == nil {
			faults = check(definition)
		}
		if faults != nil {
			reasons[w.Name] = faults
			continue
		}
		wanted[w.Name] = definition
	}
	// Each round settles on those that are as they were, then tries the others on top of them. One that conflicts stays as
	// it was too, and since that may be in the way of another, there is another round.
	for {
		accepted, name, conflict := s.try(names, wanted)
		if conflict == nil {
			s.held = accepted
			break
		}
		reasons[name] = conflict
		delete(wanted, name)
	}
	for name, reason := range reasons {
		_, kept := s.held[name]
		refused = append(refused, Refusal{name, reason, kept})
	}
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range slices.Sorted(maps.Keys(s.held)) {
		hold = append(hold, s.held[name])
	}
	return hold, refused
}

// try puts the wanted definitions together with the last good ones of the names without, or returns the first conflict.
func (s *Set) try(names map[string]bool, wanted map[string]Definition) (accepted map[string]Definition, name string, conflict error) {
	accepted = map[string]Definition{}
	var table Table[struct{}]
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		held, was := s.held[name]
		definition, will := wanted[name]
		switch {
		case was && (!will || definition == held):
			accepted[name] = held
			// These never conflict: they held together before.
			_ = Claim(&table, held, struct{}{})
		case will:
			changed = append(changed, name)
		}
	}
	for _, name := range changed {
		if err := Claim(&table, wanted[name], struct{}{}); err != nil {
			return nil, name, err
		}
		accepted[name] = wanted[name]
	}
	return accepted, "", nil
}

// Claim adds a valid definition to a table, with its target. One that is not active claims nothing.
func Claim[T any](table *Table[T], d Definition, target T) error {
	if !d.IsActive {
		return nil
	}
	pattern, err := ParsePattern(d.Path)
	if err != nil {
		return Faults{{"path", err.Error()}}
	}
	return table.Add(d.Name, pattern, d.Methods(), target)
}
