package state

import (
	"cmp"
	"slices"
)

// Policy bounds what a plan may do.
type Policy struct {
	// Headroom is the number of slots that are left free when the pool grows.
	Headroom int
	// NoGrowth leaves the pool as long as it is: who finds no free slot waits.
	NoGrowth bool
	// Guard is the largest share (0..1) of the members that serve that may stop unannounced in one plan: vanish, go out,
	// or fall to a weight of 0. If more do, the catalog is disbelieved and all of them stay. 1 lets everything through.
	Guard float64
	// Parity is what becomes of servers whose services differ: see [Compare], which comes before [Diff].
	Parity ParityPolicy
}

// Diff is the plan that turns the pool into one with exactly these members, as far as the policy lets it.
//
// A member that has a slot keeps it. A newcomer at the address of somebody who left takes over that very slot, and one
// that was away for a moment returns to its own, if that is free. The others take free slots, the one that was freed
// longest ago first, so that a slot's counters and late connections have the most time to settle. If the slots run out,
// the pool grows.
func Diff(pool Pool, members []Member, policy Policy) Plan {
	seating := newSeating(pool, members)
	seating.keep()
	seating.takeOver()
	seating.leave(policy)
	seating.restore()
	seating.fill(policy)
	return seating.plan()
}

// seating is a pool in the middle of being rearranged.
type seating struct {
	before  Pool
	after   []Member       // the occupant of each slot, the pool's and then the new ones
	order   []Member       // the members as given
	place   map[string]int // of each in the order, by key
	seated  []bool         // in the order
	gone    []int          // slots whose member is no longer wanted
	held    []Change       // what the guard refused
	waiting []Member       // who finds no slot
}

func newSeating(pool Pool, members []Member) *seating {
	s := &seating{
		before: pool, order: members,
		after: make([]Member, 0, len(pool.Slots)), place: make(map[string]int, len(members)), seated: make([]bool, len(members)),
	}
	for _, slot := range pool.Slots {
		s.after = append(s.after, slot.Member)
	}
	for i := range members {
		s.place[members[i].Key] = i
	}
	return s
}

// seat gives a slot to an unseated member.
func (s *seating) seat(slot, member int) {
	s.after[slot] = s.order[member]
	s.seated[member] = true
}

// unseated is the member with the key, if there is one that has no slot yet.
func (s *seating) unseated(key string) (member int, is bool) {
	member, wanted := s.place[key]
	return member, wanted && !s.seated[member]
}

// rest are the unseated members, in order.
func (s *seating) rest() (members []int) {
	for i, seated := range s.seated {
		if !seated {
			members = append(members, i)
		}
	}
	return members
}

// keep leaves every member that is still wanted where it sits and notes who is gone.
func (s *seating) keep() {
	for i := range s.before.Slots {
		slot := &s.before.Slots[i]
		if slot.Free() {
			continue
		}
		if member, wanted := s.unseated(slot.Member.Key); wanted {
			s.seat(i, member)
		} else {
			s.gone = append(s.gone, i)
		}
	}
}

// takeOver seats newcomers that listen where somebody gone did: the same program under another name. One that is missing
// takes over nothing: whether the place was really given up is for the guard to say.
func (s *seating) takeOver() {
	type endpoint struct {
		address string
		port    int
	}
	newcomers := map[endpoint]int{}
	for _, i := range s.rest() {
		if member := s.order[i]; !member.missing() {
			newcomers[endpoint{member.Address, member.Port}] = i
		}
	}
	s.gone = slices.DeleteFunc(s.gone, func(i int) bool {
		left := s.before.Slots[i].Member
		member, found := newcomers[endpoint{left.Address, left.Port}]
		if found {
			s.seat(i, member)
			delete(newcomers, endpoint{left.Address, left.Port})
		}
		return found
	})
}

// leave frees the slots of those gone, unless the guard finds that too many members cease to serve at once. Those that
// announce it (they drain) and those that did not serve before do not count.
func (s *seating) leave(policy Policy) {
	for _, i := range s.gone {
		s.after[i] = Member{}
	}
	var vanishing []int
	for i, slot := range s.before.Slots {
		if slot.Member.serves() && s.after[i].missing() {
			vanishing = append(vanishing, i)
		}
	}
	if float64(len(vanishing)) <= policy.Guard*float64(s.before.Serving()) {
		return
	}
	for _, i := range vanishing {
		stays := s.before.Slots[i]
		s.held = append(s.held, Change{Slot: stays.Name, Before: stays.Member, After: s.after[i]})
		s.after[i] = stays.Member
	}
}

// restore seats those that return where they sat last.
func (s *seating) restore() {
	lately := map[string]int{}
	for i, slot := range s.before.Slots {
		if _, returns := s.unseated(slot.Last); !returns || !slot.Free() {
			continue
		}
		if other, known := lately[slot.Last]; !known || s.before.Slots[other].Freed < slot.Freed {
			lately[slot.Last] = i
		}
	}
	for key, i := range lately {
		s.seat(i, s.place[key])
	}
}

// fill seats the rest, in new slots if need be. If there may be none, those that serve come first.
func (s *seating) fill(policy Policy) {
	var free []int
	for i := range s.after {
		if s.after[i].Key == "" {
			free = append(free, i)
		}
	}
	slices.SortStableFunc(free, func(a, b int) int { return cmp.Compare(s.freed(a), s.freed(b)) })
	var rest []Member
	for _, i := range s.rest() {
		rest = append(rest, s.order[i])
	}
	missing := len(rest) - len(free)
	switch {
	case missing > 0 && policy.NoGrowth:
		idle := slices.DeleteFunc(slices.Clone(rest), Member.serves)
		rest = append(slices.DeleteFunc(rest, func(m Member) bool { return !m.serves() }), idle...)
		rest, s.waiting = rest[:len(free)], rest[len(free):]
	case missing > 0:
		for i := range missing + max(0, policy.Headroom) {
			free = append(free, len(s.before.Slots)+i)
			s.after = append(s.after, Member{})
		}
	}
	for i, member := range rest {
		s.after[free[i]] = member
	}
}

// freed puts a slot that is being freed by this very plan behind all others.
func (s *seating) freed(i int) uint64 {
	if slot := s.before.Slots[i]; slot.Free() {
		return slot.Freed
	}
	return s.before.Frees + 1
}

func (s *seating) plan() Plan {
	plan := Plan{Held: s.held, Waiting: s.waiting}
	grown := s.before
	if len(s.after) > len(grown.Slots) {
		plan.Grow = len(s.after)
		grown = plan.ApplyTo(grown)
	}
	for i, slot := range grown.Slots {
		if slot.Member != s.after[i] {
			plan.Changes = append(plan.Changes, Change{Slot: slot.Name, Before: slot.Member, After: s.after[i]})
		}
	}
	return plan
}
