package reconcile

import (
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/lb/state"
)

// Who has just registered is said to be there anew, once, and who only becomes ready again is not: HAProxy's checks of
// it, as of anybody, are right until they find otherwise.
func TestWhoRegistersAgainIsThereAnew(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		last := func() (c haproxy.Change) {
			w.plane.change(func() { c = w.plane.set[len(w.plane.set)-1] })
			return c
		}
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.catalog(t, "web-2 passing")
		pass(partingTime / 2)
		w.catalog(t, "web-1 passing", "web-2 passing")
		if c := last(); !c.Anew || c.Moves() || c.From.Admin != haproxy.Drain || c.To.Admin != haproxy.Ready {
			t.Errorf("back in its slot: %+v", c)
		}
		n := len(w.plane.set)
		pass(time.Minute)
		if more := w.plane.set[n:]; len(more) != 0 {
			t.Errorf("later it was changed again: %+v", more)
		}
		w.catalog(t, "web-1 critical", "web-2 passing")
		w.catalog(t, "web-1 passing", "web-2 passing")
		if c := last(); c.Anew || c.To.Admin != haproxy.Ready {
			t.Errorf("passing again: %+v", c)
		}
	})
}

// It takes over the slot of one that has not been seen to leave, and that HAProxy may know to be down.
func TestAnotherAtTheSameAddressIsThereAnew(t *testing.T) {
	at := func(key string) state.Member {
		return state.Member{Key: key, ID: key, Address: "10.0.0.1", Port: 80, Weight: 1, Mode: state.Ready}
	}
	plan := state.Plan{Changes: []state.Change{{Slot: "slot-001", Before: at("one"), After: at("another")}}}
	if changes := (parting{}).take(plan, time.Now()); len(changes) != 1 || !changes[0].Anew {
		t.Errorf("the changes are %+v", changes)
	}
}
