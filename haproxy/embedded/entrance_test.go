package embedded

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"zatoha/haproxy"
)

func TestALoneNewcomerEntersWithTheWeightOfAllOthers(t *testing.T) {
	free := haproxy.Server{Name: "slot-001", Admin: haproxy.Maint}
	with := func(weight int, admin haproxy.Admin) haproxy.Server {
		return haproxy.Server{Name: "slot-001", Address: "10.0.0.1", Port: 80, Weight: weight, Admin: admin}
	}
	other := haproxy.Change{From: haproxy.Server{Name: "slot-002", Weight: 1, Admin: haproxy.Ready}, To: haproxy.Server{Name: "slot-002", Weight: 2, Admin: haproxy.Ready}}
	for name, c := range map[string]struct {
		changes []haproxy.Change
		round   int
		raised  int // 0 if not at all
	}{
		"of a hundred":             {[]haproxy.Change{other, {From: free, To: with(1, haproxy.Ready)}}, 100, 100},
		"back from drain":          {[]haproxy.Change{{From: with(1, haproxy.Drain), To: with(1, haproxy.Ready)}}, 100, 100},
		"of a thousand":            {[]haproxy.Change{{From: free, To: with(1, haproxy.Ready)}}, 1000, 256},
		"of few":                   {[]haproxy.Change{{From: free, To: with(1, haproxy.Ready)}}, 15, 0},
		"heavy already":            {[]haproxy.Change{{From: free, To: with(100, haproxy.Ready)}}, 100, 0},
		"of no weight":             {[]haproxy.Change{{From: free, To: with(0, haproxy.Ready)}}, 100, 0},
		"one of two newcomers":     {[]haproxy.Change{{From: free, To: with(1, haproxy.Ready)}, {From: free, To: with(1, haproxy.Ready)}}, 100, 0},
		"not a newcomer":           {[]haproxy.Change{other}, 100, 0},
		"somebody who only drains": {[]haproxy.Change{{From: free, To: with(1, haproxy.Drain)}}, 100, 0},
	} {
		before := slices.Clone(c.changes)
		first, second := entrance(c.changes, c.round)
		if !slices.Equal(c.changes, before) {
			t.Errorf("%s: the changes given are changed", name)
		}
		if c.raised == 0 {
			if !slices.Equal(first, before) || len(second) != 0 {
				t.Errorf("%s: %+v, then %+v", name, first, second)
			}
			continue
		}
		if len(second) != 1 || second[0].From.Weight != c.raised || second[0].To != before[len(before)-1].To {
			t.Errorf("%s: then %+v", name, second)
		}
	}
}

// Whatever the changes, both lots together end where the changes do, and no server moves in the second.
func TestAnEntranceEndsWhereTheChangesDo(t *testing.T) {
	server := rapid.Custom(func(r *rapid.T) haproxy.Server {
		return haproxy.Server{
			Address: "10.0.0.1", Port: 80, Weight: rapid.IntRange(0, 256).Draw(r, "weight"),
			Admin: rapid.SampledFrom([]haproxy.Admin{haproxy.Ready, haproxy.Drain, haproxy.Maint}).Draw(r, "admin"),
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		var changes []haproxy.Change
		want := map[string]haproxy.Server{}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching("slot-[0-9]"), 0, 4, rapid.ID[string]).Draw(r, "slots") {
			change := haproxy.Change{From: server.Draw(r, "from"), To: server.Draw(r, "to")}
			change.From.Name, change.To.Name = name, name
			changes, want[name] = append(changes, change), change.To
		}
		first, second := entrance(changes, rapid.IntRange(0, 5000).Draw(r, "round"))
		got := map[string]haproxy.Server{}
		for i, change := range append(first, second...) {
			if i >= len(first) && (change.Moves() || change.From != got[change.From.Name]) {
				r.Fatalf("the second lot has %+v", change)
			}
			got[change.To.Name] = change.To
		}
		for name := range want {
			if got[name] != want[name] {
				r.Fatalf("%s ends as %+v, not %+v", name, got[name], want[name])
			}
		}
	})
}

// Who asks how long a change took is told when the newcomer was there, not when its entrance was over.
func TestANewcomerIsThereBeforeItsEntranceIsOver(t *testing.T) {
	d, _ := start(t, longRound+1)
	want := freeSlots(longRound + 1)
	for i := range longRound {
		want[i] = member(i+1, haproxy.Ready)
	}
	must(t, set(t, d, want))
	same(t, d, want) // by which the round is known
	newcomer := haproxy.Change{From: want[longRound], To: member(longRound+1, haproxy.Ready)}
	newcomer.To.Weight = 1
	want[longRound] = newcomer.To
	done, err := d.Set(t.Context(), []haproxy.Change{newcomer})
	must(t, err)
	if ago := time.Since(done.InEffect); done.InEffect.IsZero() || ago < entranceTime {
		t.Errorf("it is there since %v", done.InEffect)
	}
	same(t, d, want)
}
