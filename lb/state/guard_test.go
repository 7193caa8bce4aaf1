package state

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// It says anew, in words of its own, what it is to take traffic.
func TestTheGuardBoundsHowManyCeaseToServeUnannounced(t *testing.T) {
	takesRequests := func(m Member) bool { return m.Key != "" && m.Mode == Ready && m.Weight > 0 }
	rapid.Check(t, func(t *rapid.T) {
		pool, want := anyPool(t), anyMembers(t, 8)
		after := Diff(pool, want, Policy{Headroom: 2, Guard: 0.5}).ApplyTo(pool)
		had, ceased := 0, 0
		for i, slot := range pool.Slots {
			if !takesRequests(slot.Member) {
				continue
			}
			had++
			if now := after.Slots[i].Member; !takesRequests(now) && now.Mode != Drain {
				ceased++
			}
		}
		if 2*ceased > had {
			t.Fatalf("%d of %d ceased at once", ceased, had)
		}
	})
}

// Each instance gets no traffic while it is warning.
func TestTheGuardCountsThoseThatServe(t *testing.T) {
	instance := func(i int, status Status) Instance {
		id := fmt.Sprintf("web-%d", i)
		return Instance{Key: id, ID: id, Address: "10.0.0.1", Port: 8000 + i, WeightPassing: 1, Status: status}
	}
	catalog := func(statuses ...Status) (c Catalog) {
		for i, status := range statuses {
			if status != "" {
				c.Instances = append(c.Instances, instance(i, status))
			}
		}
		return c
	}
	for name, c := range map[string]struct {
		before, after Catalog
		held, serving int
	}{
		"all that serve vanish, beside idle ones": {
			catalog(Warning, Warning, Warning, Passing, Passing), catalog(Warning, Warning, Warning), 2, 2,
		},
		"half of those that serve vanish, beside idle ones": {
			catalog(Warning, Warning, Warning, Passing, Passing), catalog(Warning, Warning, Warning, Passing), 0, 1,
		},
		"idle ones vanish":           {catalog(Warning, Warning, Passing), catalog("", "", Passing), 0, 1},
		"all fall to no weight":      {catalog(Passing, Passing, Passing), catalog(Warning, Warning, Warning), 3, 3},
		"a minority falls to none":   {catalog(Passing, Passing, Passing), catalog(Warning, Passing, Passing), 0, 2},
		"some vanish, another falls": {catalog(Passing, Passing, Passing), catalog("", Warning, Passing), 2, 3},
		"all drain":                  {catalog(Passing, Passing), catalog(Maintenance, Maintenance), 0, 0},
		"the idle ones come back":    {catalog(Warning, Warning), catalog(Passing, Passing), 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			members, _ := Desire(c.before)
			pool := Diff(NewPool(5), members, Policy{Guard: 1}).ApplyTo(NewPool(5))
			members, _ = Desire(c.after)
			plan := Diff(pool, members, Policy{Guard: 0.5})
			if left := plan.ApplyTo(pool).Serving(); len(plan.Held) != c.held || left != c.serving {
				t.Errorf("%d are held and %d serve, want %d and %d:\n%s", len(plan.Held), left, c.held, c.serving, plan)
			}
		})
	}
}
