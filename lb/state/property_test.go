package state

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyMembers draws up to n members with few keys and fewer endpoints, so that joins, departures, moves and takeovers
// all happen.
func anyMembers(t *rapid.T, n int) []Member {
	keys := rapid.SliceOfNDistinct(rapid.IntRange(1, 3*n), 0, n, rapid.ID[int]).Draw(t, "keys")
	slices.Sort(keys)
	members := make([]Member, 0, len(keys))
	for _, key := range keys {
		members = append(members, Member{
			Key:     fmt.Sprintf("node/web-%d", key),
			ID:      fmt.Sprintf("web-%d", key),
			Address: "10.0.0.1",
			Port:    rapid.IntRange(8000, 8000+2*n).Draw(t, "port"),
			Weight:  rapid.IntRange(0, 3).Draw(t, "weight"),
			MaxConn: rapid.IntRange(0, 1).Draw(t, "maxconn"),
			Mode:    rapid.SampledFrom([]Mode{Ready, Ready, Ready, Drain, Out}).Draw(t, "mode"),
		})
	}
	return members
}

// anyPool draws a pool that has a history, and that may have been adopted from a file that lacked some of its lines.
func anyPool(t *rapid.T) Pool {
	n := rapid.IntRange(0, 6).Draw(t, "slots")
	lost := rapid.IntRange(0, 6).Draw(t, "lost")
	left := slices.DeleteFunc(NewPool(n).Slots, func(s Slot) bool { return s.Name == slotName(lost) })
	pool := Adopt(left, n)
	for range rapid.IntRange(0, 4).Draw(t, "changes before") {
		pool = Diff(pool, anyMembers(t, 8), anyPolicy(t)).ApplyTo(pool)
	}
	return pool
}

func anyPolicy(t *rapid.T) Policy {
	return Policy{
		Headroom: rapid.IntRange(0, 5).Draw(t, "headroom"),
		Guard:    rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "guard"),
		NoGrowth: rapid.Bool().Draw(t, "no growth"),
	}
}

func members(pool Pool) []Member {
	var seated []Member
	for _, slot := range pool.Slots {
		if !slot.Free() {
			seated = append(seated, slot.Member)
		}
	}
	slices.SortFunc(seated, byKey)
	return seated
}

func byKey(a, b Member) int { return cmp.Compare(a.Key, b.Key) }

func TestDiffReachesTheWantedMembersUnlessHeldOrWithoutASlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, want, policy := anyPool(t), anyMembers(t, 8), anyPolicy(t)
		plan := Diff(pool, want, policy)
		after := plan.ApplyTo(pool)

		held := map[string]Member{}
		for _, change := range plan.Held {
			held[change.Before.Key] = change.Before
		}
		expected := map[string]Member{}
		for _, member := range want {
			expected[member.Key] = member
		}
		for key, member := range held {
			expected[key] = member
		}
		for _, member := range plan.Waiting {
			delete(expected, member.Key)
		}
		got := map[string]Member{}
		for _, member := range members(after) {
			if _, twice := got[member.Key]; twice {
				t.Fatalf("%s sits in two slots:\n%v", member.Key, after)
			}
			got[member.Key] = member
		}
		for key, member := range expected {
			if got[key] != member {
				t.Fatalf("%s: have %v, want %v\nplan:\n%s", key, got[key], member, plan)
			}
		}
		if len(got) != len(expected) {
			t.Fatalf("%d members, want %d\nplan:\n%s", len(got), len(expected), plan)
		}
	})
}

func TestDiffOfWhatIsThereIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, want, policy := anyPool(t), anyMembers(t, 8), anyPolicy(t)
		policy.Guard = 1
		after := Diff(pool, want, policy).ApplyTo(pool)
		if again := Diff(after, want, policy); !again.Empty() || len(again.Held) > 0 {
			t.Fatalf("a second plan is not empty:\n%s", again)
		}
	})
}

func TestAMemberKeepsItsSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, want := anyPool(t), anyMembers(t, 8)
		after := Diff(pool, want, anyPolicy(t)).ApplyTo(pool)
		for i, slot := range pool.Slots {
			if after.Slots[i].Name != slot.Name {
				t.Fatalf("slot %d was %s and is %s", i, slot.Name, after.Slots[i].Name)
			}
			stays := slices.ContainsFunc(want, func(m Member) bool { return m.Key == slot.Member.Key })
			if stays && after.Slots[i].Member.Key != slot.Member.Key {
				t.Fatalf("%s lost %s to %q", slot.Member.Key, slot.Name, after.Slots[i].Member.Key)
			}
		}
	})
}

func TestThePoolGrowsOnlyWhenItHasRunOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, want, policy := anyPool(t), anyMembers(t, 8), anyPolicy(t)
		plan := Diff(pool, want, policy)
		after := plan.ApplyTo(pool)
		switch {
		case len(after.Slots) < len(pool.Slots):
			t.Fatalf("shrank from %d to %d slots", len(pool.Slots), len(after.Slots))
		case plan.Grow == 0:
			if len(after.Slots) != len(pool.Slots) {
				t.Fatalf("grew unplanned from %d to %d slots", len(pool.Slots), len(after.Slots))
			}
		case len(after.Slots)-after.Used() != policy.Headroom:
			t.Fatalf("grew to %d slots with %d used, headroom is %d", len(after.Slots), after.Used(), policy.Headroom)
		}
	})
}

func TestNoTwoSlotsHaveOneName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := anyPool(t)
		after := Diff(pool, anyMembers(t, 8), anyPolicy(t)).ApplyTo(pool)
		names := map[string]bool{}
		for i, slot := range after.Slots {
			if names[slot.Name] || !IsSlot(slot.Name) {
				t.Fatalf("slot %d of %d is %s, as another one", i+1, len(after.Slots), slot.Name)
			}
			if names[slot.Name] = true; i < len(pool.Slots) && slot.Name != pool.Slots[i].Name {
				t.Fatalf("%s has become %s", pool.Slots[i].Name, slot.Name)
			}
		}
		for n := range len(after.Slots) {
			if !names[slotName(n+1)] {
				t.Fatalf("%d slots, and none of them is %s", len(after.Slots), slotName(n+1))
			}
		}
	})
}

func TestAPoolThatMayNotGrowSeatsWhomItCan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, want, policy := anyPool(t), anyMembers(t, 8), anyPolicy(t)
		policy.NoGrowth = true
		plan := Diff(pool, want, policy)
		after := plan.ApplyTo(pool)
		if plan.Grow > 0 || len(after.Slots) != len(pool.Slots) {
			t.Fatalf("it grew from %d to %d slots", len(pool.Slots), len(after.Slots))
		}
		if len(plan.Waiting) > 0 && after.Used() < len(after.Slots) {
			t.Fatalf("somebody waits beside a free slot:\n%s", plan)
		}
		before := members(pool)
		for _, member := range members(after) {
			newcomer := !slices.ContainsFunc(before, func(m Member) bool { return m.Key == member.Key || m.Port == member.Port }) &&
				!slices.ContainsFunc(pool.Slots, func(s Slot) bool { return s.Last == member.Key })
			if newcomer && !member.serves() && slices.ContainsFunc(plan.Waiting, Member.serves) {
				t.Fatalf("%s has a slot and does not serve, and one that serves waits:\n%s", member, plan)
			}
		}
	})
}

func TestTheSlotFreedLongestAgoIsFilledFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := anyPool(t)
		want := append(members(pool), Member{Key: "new", ID: "new", Address: "10.9.9.9", Port: 1, Mode: Ready})
		plan := Diff(pool, want, Policy{Guard: 1})
		for _, change := range plan.Changes {
			if change.After.Key != "new" || plan.Grow > 0 {
				continue
			}
			taken := pool.Slots[slices.IndexFunc(pool.Slots, func(s Slot) bool { return s.Name == change.Slot })]
			for _, slot := range pool.Slots {
				if slot.Free() && slot.Freed < taken.Freed {
					t.Fatalf("%s (freed %d) taken before %s (freed %d)", taken.Name, taken.Freed, slot.Name, slot.Freed)
				}
			}
		}
	})
}

func TestAMemberThatReturnsGetsItsSlotBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool, policy := anyPool(t), Policy{Headroom: 1, Guard: 1}
		there := members(pool)
		if len(there) == 0 {
			t.Skip("nobody there")
		}
		gone := rapid.IntRange(0, len(there)-1).Draw(t, "gone")
		without := Diff(pool, slices.Delete(slices.Clone(there), gone, gone+1), policy).ApplyTo(pool)
		again := Diff(without, there, policy).ApplyTo(without)
		for i := range pool.Slots {
			if again.Slots[i].Member != pool.Slots[i].Member {
				t.Fatalf("%s: %v is now %v", pool.Slots[i].Name, pool.Slots[i].Member, again.Slots[i].Member)
			}
		}
	})
}

func TestApplyToLeavesItsArgumentAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := anyPool(t)
		before := fmt.Sprint(pool)
		Diff(pool, anyMembers(t, 8), anyPolicy(t)).ApplyTo(pool)
		if after := fmt.Sprint(pool); after != before {
			t.Fatalf("the pool given was changed:\n%s\n%s", before, after)
		}
	})
}

func TestTheDigestIsOfTheMembersAndNotOfTheirSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := anyPool(t)
		moved := Pool{Slots: append(NewPool(2).Slots, pool.Slots...)}
		if pool.Digest() != moved.Digest() {
			t.Fatal("the digest depends on the slots")
		}
		for i, slot := range pool.Slots {
			if !slot.Free() {
				changed := Pool{Slots: slices.Clone(pool.Slots)}
				changed.Slots[i].Member.Port++
				if changed.Digest() == pool.Digest() {
					t.Fatal("another port, and the same digest")
				}
			}
		}
	})
}

func TestWeightsKeepTheirProportions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var catalog Catalog
		for i, weight := range rapid.SliceOfN(rapid.IntRange(0, 65535), 1, 6).Draw(t, "weights") {
			catalog.Instances = append(catalog.Instances, Instance{
				Key: fmt.Sprint(i), ID: fmt.Sprint(i), Address: "10.0.0.1", Port: 80, WeightPassing: weight, Status: Passing,
			})
		}
		members, _ := Desire(catalog)
		for i, a := range catalog.Instances {
			if (a.WeightPassing > 0) != (members[i].Weight > 0) || members[i].Weight > maxWeight {
				t.Fatalf("weight %d became %d", a.WeightPassing, members[i].Weight)
			}
			for j, b := range catalog.Instances {
				if a.WeightPassing <= b.WeightPassing && members[i].Weight > members[j].Weight {
					t.Fatalf("%d and %d became %d and %d", a.WeightPassing, b.WeightPassing, members[i].Weight, members[j].Weight)
				}
			}
		}
	})
}

// anyCatalog draws instances of which some publish one of few hashes.
func anyCatalog(t *rapid.T) Catalog {
	var catalog Catalog
	for i := range rapid.IntRange(0, 9).Draw(t, "instances") {
		catalog.Instances = append(catalog.Instances, Instance{
			Key: fmt.Sprintf("node/web-%d", i), ID: fmt.Sprintf("web-%d", i), Address: "10.0.0.1", Port: 8000 + i,
			WeightPassing: rapid.IntRange(0, 2).Draw(t, "weight"), WeightWarning: 1,
			Status:   rapid.SampledFrom([]Status{Passing, Passing, Passing, Warning, Critical, Maintenance}).Draw(t, "status"),
			Services: rapid.SampledFrom([]string{"", "a", "a", "b", "c"}).Draw(t, "services"),
		})
	}
	return catalog
}

// serving counts the members that take traffic.
func serving(members []Member) int {
	n := 0
	for _, member := range members {
		if member.serves() {
			n++
		}
	}
	return n
}

func TestParityHoldsOnlyNewcomersAndNeverAllServers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := Pool{Slots: NewPool(1).Slots}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			catalog := anyCatalog(t)
			desired, _ := Desire(catalog)
			before := slices.Clone(desired)
			got, parity := Compare(pool, catalog, desired, HoldParity)
			if !slices.Equal(desired, before) {
				t.Fatal("the members given were changed")
			}
			if serving(desired) > 0 && 2*serving(got) < serving(desired) {
				t.Fatalf("%d of %d servers are left: %+v", serving(got), serving(desired), parity)
			}
			for i, member := range got {
				inRotation := slices.ContainsFunc(pool.Slots, func(s Slot) bool {
					return s.Member.Key == member.Key && s.Member.Mode == Ready
				})
				held := slices.ContainsFunc(parity.Differing, func(d Differing) bool { return d.Key == member.Key && d.Held })
				switch {
				case held && (inRotation || member.Mode != Out):
					t.Fatalf("%v was held, and was in rotation: %v", member, inRotation)
				case !held && member != desired[i]:
					t.Fatalf("%v was changed to %v, and not held", desired[i], member)
				}
			}
			pool = Diff(pool, got, Policy{Headroom: 1, Guard: 1}).ApplyTo(pool)
		}
	})
}

func TestParityIsTheSameInAnyOrderAndAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalog, pool := anyCatalog(t), anyPool(t)
		members, _ := Desire(catalog)
		held, first := Compare(pool, catalog, members, HoldParity)
		shuffled := Catalog{Instances: rapid.Permutation(catalog.Instances).Draw(t, "order")}
		members, _ = Desire(shuffled)
		again, second := Compare(pool, shuffled, members, HoldParity)
		if !slices.Equal(held, again) || fmt.Sprint(first) != fmt.Sprint(second) {
			t.Fatalf("%v\n%v\n%v\n%v", held, first, again, second)
		}
		next := Diff(pool, held, Policy{Headroom: 1, Guard: 1}).ApplyTo(pool)
		if third, _ := Compare(next, catalog, members, HoldParity); !slices.Equal(third, held) {
			t.Fatalf("once applied, it comes out otherwise:\n%v\n%v", held, third)
		}
	})
}

func TestParityThatIsReportedChangesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalog := anyCatalog(t)
		members, _ := Desire(catalog)
		got, parity := Compare(anyPool(t), catalog, members, ReportParity)
		_, held := Compare(NewPool(0), catalog, members, HoldParity)
		if !slices.Equal(got, members) || len(parity.Differing) != len(held.Differing) {
			t.Fatalf("%v\n%v\n%v", members, got, parity)
		}
		if n := len(parity.Groups); parity.Split() && parity.Differing != nil || n > 0 && n < 2 && parity.Majority == "" {
			t.Fatalf("%+v", parity)
		}
	})
}
