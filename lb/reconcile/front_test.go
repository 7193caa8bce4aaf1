package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
)

func TestAFrontThatSomebodyStoppedIsOpened(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.catalog(t, "web-1 passing", "web-2 critical")
		w.plane.change(func() { w.plane.closed = 1 })
		pass(6 * time.Second)                                                 // a resync
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain") // as before the reload
		report := w.Report()
		if w.plane.closed != 0 || report.Counters.Drift != (Drift{Runtime: 1}) || report.Counters.Reloads[haproxy.ReloadToUndo] != 1 || report.Error != "" {
			t.Errorf("report %+v", report)
		}
		if text := report.History[1].What; !strings.Contains(text, "set right: the front takes connections again") {
			t.Errorf("told is %q", text)
		}
	})
}

func TestAttemptsToOpenTheFrontThatDoNotHelpComeEverMoreSlowly(t *testing.T) {
	for name, fails := range map[string]error{"fails": errors.New("port conflict"), "does not help": nil} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				w.catalog(t, "web-1 passing")
				w.plane.change(func() { w.plane.closed, w.plane.shut = 1000, fails })
				pass(10 * time.Minute)
				if n := w.plane.opens; n < 20 || n > 30 {
					t.Errorf("%d attempts in ten minutes", n)
				}
				if text := w.Report().Error; fails != nil && !strings.Contains(text, "having the front take connections: port conflict") {
					t.Errorf("the error is %q", text)
				}
				w.catalog(t, "web-1 passing", "web-2 passing") // servers come all the same
				w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready")
				w.plane.change(func() { w.plane.closed = 0 })
				pass(time.Minute)
				if report := w.Report(); report.Error != "" || w.openings != (attempts{}) {
					t.Errorf("after it is open: %+v, %+v", report.Error, w.openings)
				}
			})
		})
	}
}

func TestChecksThatSomebodySwitchedOffAreSwitchedOn(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 critical")
		w.plane.change(func() {
			for i := range w.plane.running {
				w.plane.running[i].Unchecked = true
			}
		})
		pass(6 * time.Second) // a resync
		if slices.ContainsFunc(w.plane.running, func(s haproxy.Server) bool { return s.Unchecked }) {
			t.Errorf("running are %+v", w.plane.running)
		}
		if report := w.Report(); report.Counters.Drift != (Drift{Runtime: 3}) || report.History[0].What != "set right: slot-001, slot-002, slot-003" {
			t.Errorf("report %+v", report)
		}
	})
}
