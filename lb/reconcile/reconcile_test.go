package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/haproxy"
	"zatoha/lb/state"
)

func TestHAProxyFollowsTheCatalog(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		w.catalog(t, "web-1 passing", "web-2 critical", "web-3 passing")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain", "slot-003 10.0.0.3:80 ready")
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing", "web-4 passing")
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready", "slot-004 10.0.0.4:80 ready")
		report := w.Report()
		if w.plane.rebuilds != 1 || report.Counters.Reloads[haproxy.ReloadToGrow] != 1 || len(report.Pool.Slots) != 6 {
			t.Errorf("%d rebuilds, %v reloads, %d slots", w.plane.rebuilds, report.Counters.Reloads, len(report.Pool.Slots))
		}
		if report.Counters.Drift.Runtime != 0 || report.Error != "" || report.Index != 3 {
			t.Errorf("report %+v", report)
		}
		if !slices.Equal(w.plane.saved, Servers(report.Pool)) {
			t.Errorf("saved %v", w.plane.saved)
		}
	})
}

func TestWithoutConsulEverythingStays(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		before := w.plane.String()
		w.Observe(t.Context(), consul.Observation{Err: errors.New("connection refused")})
		pass(time.Minute) // many rounds
		w.runs(t, before)
		if report := w.Report(); report.Consul.Reachable || report.Consul.Error != "connection refused" {
			t.Errorf("consul is reported as %+v", report.Consul)
		}
		w.catalog(t) // back, and empty
		w.runs(t, before)
		if report := w.Report(); !report.Consul.Reachable || len(report.Held) != 3 || report.Counters.Holds != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestAStartWithoutConsulTellsHowOldItsServersAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longAgo := time.Now().Add(-time.Hour)
		l := New(state.NewPool(1), &fakePlane{}, &fakePlane{}, zerolog.Nop(), Options{LastSeen: longAgo})
		l.Observe(t.Context(), consul.Observation{Err: errors.New("connection refused")})
		if now := l.Report().Consul; now.Reachable || !now.Since.Equal(longAgo) {
			t.Errorf("consul is reported as %+v", now)
		}
		l.Observe(t.Context(), consul.Observation{})
		if now := l.Report().Consul; !now.Reachable || !now.Since.Equal(time.Now()) {
			t.Errorf("consul is reported as %+v", now)
		}
	})
}

func TestWhoLeavesTheCatalogMayFinish(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.catalog(t, "web-2 passing")
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 ready")
		if report := w.Report(); !report.Pool.Slots[0].Free() || report.Counters.Drift.Runtime != 0 {
			t.Errorf("report %+v", report)
		}
		pass(partingTime - time.Second)
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 ready")
		pass(10 * time.Second)
		w.runs(t, "slot-002 10.0.0.2:80 ready")
		if report := w.Report(); report.Counters.Drift.Runtime != 0 {
			t.Errorf("a farewell's end is called a repair: %+v", report)
		}

		w.catalog(t, "web-1 passing", "web-2 passing")
		w.catalog(t, "web-2 passing")
		w.catalog(t, "web-2 passing", "web-3 passing") // the only free slot
		w.runs(t, "slot-001 10.0.0.3:80 ready", "slot-002 10.0.0.2:80 ready")
		pass(time.Minute)
		w.runs(t, "slot-001 10.0.0.3:80 ready", "slot-002 10.0.0.2:80 ready")
	})
}

func TestAnOperatorLetsThroughWhatIsHeld(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		if released := w.Release(); len(released) != 0 {
			t.Errorf("released %v while nothing was held", released)
		}
		w.catalog(t, "web-3 passing")
		if released := w.Release(); len(released) != 2 {
			t.Errorf("released %v", released)
		}
		synctest.Wait()
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 drain", "slot-003 10.0.0.3:80 ready")
		w.catalog(t)
		if report := w.Report(); len(report.Held) != 1 {
			t.Errorf("the guard is still off: %+v", report.Held)
		}
	})
}

func TestAReleaseThatFindsNothingLeftIsOver(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		w.catalog(t, "web-3 passing")
		held := w.Report().Held
		hang := make(chan struct{})
		w.plane.change(func() { w.plane.hang = hang })
		w.Wake()
		synctest.Wait() // a round is under way
		w.Release()
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing") // they are back, before the next round
		w.plane.change(func() { w.plane.hang = nil })
		close(hang)
		synctest.Wait()
		w.catalog(t, "web-3 passing")
		pass(time.Minute)
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		if report := w.Report(); !slices.Equal(report.Held, held) {
			t.Errorf("an old release let through what is held now: %+v", report.Held)
		}
	})
}

func TestWhatSomebodyElseChangedIsSetRight(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.plane.running[0].Admin, w.plane.running[1].Port = haproxy.Maint, 99 })
		pass(6 * time.Second) // a resync
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready")
		if report := w.Report(); report.Counters.Drift.Runtime != 2 || !strings.Contains(report.History[0].What, "slot-001, slot-002") {
			t.Errorf("report %+v", report)
		}
		w.plane.change(func() { w.plane.running = w.plane.running[:1] })
		w.Wake()
		synctest.Wait()
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready")
		if report := w.Report(); report.Counters.Reloads[haproxy.ReloadToRepair] != 1 || report.Counters.Drift != (Drift{Runtime: 3}) {
			t.Errorf("counted are %+v", report.Counters)
		}
	})
}

func TestWhatAStartOfHAProxyLeavesIsNobodysDoing(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing", "web-4 passing")
		w.catalog(t, "web-1 passing", "web-2 critical", "web-3 maintenance")
		want := []string{"slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain", "slot-003 10.0.0.3:80 drain", "slot-004 10.0.0.4:80 drain"}
		w.runs(t, want...)
		w.plane.change(w.plane.load)
		w.Wake()
		synctest.Wait()
		w.runs(t, want...)
		if report := w.Report(); report.Counters.Drift.Runtime != 0 {
			t.Errorf("a start of haproxy is called a repair: %+v", report.Counters)
		}
		w.plane.change(func() {
			w.plane.load()
			w.plane.running[1].Weight = 7
		})
		w.Wake()
		synctest.Wait()
		w.runs(t, want...)
		if report := w.Report(); report.Counters.Drift.Runtime != 1 || report.History[0].What != "set right: slot-002" {
			t.Errorf("what somebody changed too is not told: %+v", report)
		}
	})
}

func TestWhatWasEditedAndWhyHAProxyWasReloadedIsTold(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing")
		before := w.Report()
		w.plane.change(func() {
			w.plane.done = haproxy.Rewrite{Edited: `global: "x" is gone`, Reload: haproxy.ReloadToRepair}
			w.plane.full = errors.New("no space left on device") // only after that
		})
		pass(6 * time.Second)
		for _, reason := range haproxy.Reloads() {
			w.Rewritten(haproxy.Rewrite{Reload: reason})
		}
		w.Rewritten(haproxy.Rewrite{})
		report := w.Report()
		if report.Counters.Drift != (Drift{File: 1, Runtime: 2}) || report.Counters.Reloads[haproxy.ReloadToRepair] != 2 || report.Counters.Reloads[haproxy.ReloadToSet] != 1 {
			t.Errorf("counted are %+v", report.Counters)
		}
		if len(before.Counters.Reloads) != 0 {
			t.Errorf("an earlier report now says %v", before.Counters.Reloads)
		}
		var said []string
		for _, entry := range report.History {
			said = append(said, entry.What)
		}
		if want := []string{
			"haproxy reloaded (undo): somebody had stopped the front, or a server's health checks, by the runtime socket",
			"haproxy reloaded (settings): our lines are others, for other settings or another version",
			"haproxy reloaded (rollback): an operator has rolled our lines back",
			"haproxy reloaded (repair): it ran, or may have run, on other lines than ours",
			"haproxy reloaded (maxconn): for a server's limit of connections",
			"haproxy reloaded (repair): it ran, or may have run, on other lines than ours",
			`haproxy.cfg set right, somebody had edited our lines: global: "x" is gone`,
		}; !slices.Equal(said[:len(said)-1], want) {
			t.Errorf("the history is %q", said)
		}
	})
}

func TestAnOperatorsOwnServerInTheBackendIsLeftAlone(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		sorry := haproxy.Server{Name: "sorry", Address: "10.0.0.9", Port: 80, Weight: 1, Admin: haproxy.Ready}
		w.plane.change(func() {
			w.plane.foreign = []haproxy.Server{sorry}
			w.plane.running = append(w.plane.foreign, w.plane.running...)
		})
		w.catalog(t, "web-1 passing", "web-2 critical")
		pass(time.Minute)
		w.runs(t, "sorry 10.0.0.9:80 ready", "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain")
		if report := w.Report(); w.plane.rebuilds != 0 || report.Counters.Drift.Runtime != 0 || report.Error != "" {
			t.Errorf("%d rebuilds, report %+v", w.plane.rebuilds, report)
		}
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		pass(time.Minute)
		w.runs(t, "sorry 10.0.0.9:80 ready", "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready", "slot-003 10.0.0.3:80 ready")
		if w.plane.rebuilds != 1 {
			t.Errorf("%d reloads for one growth", w.plane.rebuilds)
		}
	})
}

func TestReloadsThatDoNotHelpComeEverMoreSlowly(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.plane.lost, w.plane.running = "slot-001", w.plane.running[1:] })
		pass(5 * time.Minute)
		if n := w.plane.rebuilds; n < 10 || n > 20 {
			t.Errorf("%d reloads in five minutes", n)
		}
		w.catalog(t, "web-1 passing", "web-2 critical")
		w.runs(t, "slot-002 10.0.0.2:80 drain")
		if report := w.Report(); !strings.Contains(report.Error, "haproxy runs without slot-001") {
			t.Errorf("the error is %q", report.Error)
		}
		w.plane.change(func() { w.plane.lost = "" })
		pass(longestDelay)
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain")
		if report := w.Report(); report.Error != "" {
			t.Errorf("the error stays: %s", report.Error)
		}
		w.plane.change(func() { w.plane.running = append(w.plane.running, haproxy.Server{Name: "slot-007"}) })
		pass(6 * time.Second)
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 drain")
	})
}

func TestAnHAProxyThatWasAwayIsBroughtUpToDate(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t)
		w.plane.change(func() { w.plane.down = errors.New("no socket") })
		w.catalog(t, "web-1 passing")
		if report := w.Report(); report.Error != "no socket" || report.Counters.Failures == 0 {
			t.Errorf("report %+v", report)
		}
		if w.plane.saved[0].Address != "10.0.0.1" {
			t.Errorf("the file was not written: %v", w.plane.saved)
		}
		w.plane.change(func() { w.plane.down = nil })
		pass(time.Second) // a retry
		w.runs(t, "slot-001 10.0.0.1:80 ready")
		if report := w.Report(); report.Error != "" {
			t.Errorf("the error stays: %s", report.Error)
		}
	})
}

func TestWhatEachChangeTookIsMeasured(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing")
		w.plane.change(func() { w.plane.down = errors.New("no socket") })
		w.catalog(t, "web-1 maintenance")
		pass(100 * time.Millisecond)
		w.catalog(t, "web-1 maintenance", "web-2 passing")
		pass(300 * time.Millisecond)
		w.plane.change(func() { w.plane.down = nil })
		pass(time.Minute)
		const inEffect = 5 * time.Millisecond // before the data plane is done with it
		w.plane.change(func() { w.plane.done = haproxy.Rewrite{InEffect: time.Now().Add(inEffect)} })
		w.catalog(t, "web-1 passing", "web-2 passing")
		server := &resolver{hangs: true}
		w.convert.names.lookup = server.lookup
		w.named(t, "web.local")
		if want := []time.Duration{0, 600 * time.Millisecond, inEffect, lookupTimeout}; !slices.Equal(w.took, want) {
			t.Errorf("the changes took %v, want %v", w.took, want)
		}
	})
}

func TestWhatHAProxysChecksFindIsTold(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing")
		w.Tell(haproxy.Event{Server: "slot-001", Reason: "Layer7 timeout"})
		w.Tell(haproxy.Event{Server: "slot-002", Up: true, Reason: "Layer7 check passed"})
		history := w.Report().History
		if len(history) != 3 || history[0].Index != 0 || history[0].What != "slot-002 up: haproxy's check: Layer7 check passed" ||
			history[1].What != "slot-001 down: web-1, haproxy's check: Layer7 timeout" {
			t.Errorf("the history is %+v", history)
		}
	})
}

func TestAGrowthThatFailsIsTriedAgain(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing")
		w.plane.change(func() { w.plane.down = errors.New("haproxy refused it") })
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.runs(t, "slot-001 10.0.0.1:80 ready")
		if report := w.Report(); len(report.Pool.Slots) != 1 || !strings.Contains(report.Error, "growing the backend to 4 slots") {
			t.Errorf("report %+v", report)
		}
		w.plane.change(func() { w.plane.down = nil })
		pass(time.Second)
		w.runs(t, "slot-001 10.0.0.1:80 ready", "slot-002 10.0.0.2:80 ready")
	})
}

func TestAGrowthThatFailsStopsNoOtherChange(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.plane.refuses = errors.New("haproxy refused it") })
		w.catalog(t, "web-1 maintenance", "web-2 critical", "web-3 critical", "web-4 passing", "web-5 passing")
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 drain", "slot-003 10.0.0.4:80 ready")
		pass(2 * time.Second)
		if w.plane.take("zato/main/drained/web-1") == "" {
			t.Error("who leaves is not let go")
		}
		if report := w.Report(); !strings.Contains(report.Error, "growing the backend to 7 slots") {
			t.Errorf("the error is %q", report.Error)
		}
		pass(5 * time.Minute)
		if n := w.plane.rebuilds; n < 10 || n > 20 {
			t.Errorf("%d reloads in five minutes", n)
		}
		w.plane.change(func() { w.plane.refuses = nil })
		pass(longestDelay)
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 drain", "slot-003 10.0.0.4:80 ready",
			"slot-004 10.0.0.3:80 drain", "slot-005 10.0.0.5:80 ready")
		if report := w.Report(); report.Error != "" || report.Counters.Reloads[haproxy.ReloadToGrow] != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestADrainedInstanceIsAcknowledgedOnceItIsIdle(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		const key = "zato/main/drained/web-1"
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.plane.sessions["slot-001"] = 1 })
		w.catalog(t, "web-1 maintenance", "web-2 passing")
		w.runs(t, "slot-001 10.0.0.1:80 drain", "slot-002 10.0.0.2:80 ready")
		pass(10 * time.Second)
		if w.plane.take(key) != "" {
			t.Error("acknowledged while a session is open")
		}
		w.plane.change(func() { w.plane.sessions["slot-001"] = 0 })
		pass(200 * time.Millisecond)
		if ack := w.plane.take(key); !strings.Contains(ack, `"instance":"web-1"`) {
			t.Errorf("the acknowledgement is %q", ack)
		}
		pass(10 * time.Second) // an operator has put it into maintenance; now it stops, and wants to hear it anew
		if told := w.plane.told; told != 2 || w.plane.take(key) == "" {
			t.Errorf("%d acknowledgements, want another after the one that was taken, and no more", told)
		}
		pass(tellAgain + drainDelay)
		if w.plane.take(key) == "" {
			t.Error("who stops later is not told again")
		}
		w.catalog(t, "web-1 passing", "web-2 passing")
		pass(2 * tellAgain)
		if w.plane.take(key) != "" {
			t.Error("acknowledged though it is back")
		}
		w.catalog(t, "web-1 maintenance", "web-2 passing")
		if w.plane.take(key) != "" {
			t.Error("acknowledged before the drain has settled")
		}
		pass(2 * time.Second)
		if w.plane.take(key) == "" {
			t.Error("a second drain is not acknowledged")
		}
	})
}

func TestADrainedInstanceWaitsForTheOtherLoadBalancers(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		const key = "zato/main/drained/web-1"
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.busy = "n/web-1" })
		w.catalog(t, "web-1 maintenance", "web-2 passing")
		pass(10 * time.Second)
		if w.plane.take(key) != "" {
			t.Error("acknowledged while another load balancer is busy with it")
		}
		w.plane.change(func() { w.busy = "" })
		pass(200 * time.Millisecond)
		if w.plane.take(key) == "" {
			t.Error("not acknowledged when all have drained it")
		}
		w.catalog(t, "web-2 passing")
		if want := []string{"[n/web-1]", "[]"}; !slices.Equal(w.published, want) {
			t.Errorf("the others were told %q, want %q", w.published, want)
		}
	})
}

func TestADrainIsAcknowledgedThoughTheFileCannotBeWritten(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing")
		w.plane.change(func() { w.plane.full = errors.New("no space left on device") })
		w.catalog(t, "web-1 maintenance", "web-2 passing")
		pass(2 * time.Second)
		if w.plane.take("zato/main/drained/web-1") == "" {
			t.Error("it is not acknowledged")
		}
		if report := w.Report(); report.Error != "no space left on device" {
			t.Errorf("the error is %q", report.Error)
		}
	})
}

func TestWhoCannotBeToldThatItIsDrainedKeepsUpNobody(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		w.plane.change(func() { w.plane.deaf = "zato/main/drained/web-1" })
		w.catalog(t, "web-1 maintenance", "web-2 maintenance", "web-3 passing")
		pass(3 * time.Second)
		if w.plane.take("zato/main/drained/web-2") == "" {
			t.Error("another one is not told either")
		}
		report := w.Report()
		if report.Error != "" || report.Counters.Failures != 0 || time.Since(report.LastSync) > 5*time.Second {
			t.Errorf("haproxy is said not to follow: %+v", report)
		}
		if n := report.Counters.AckFailures; n < 2 || n > 6 || report.AckError != "acknowledging that web-1 is drained: permission denied" {
			t.Errorf("%d failures in two seconds, the last is %q", n, report.AckError)
		}
		w.plane.change(func() { w.plane.deaf = "" })
		pass(time.Second)
		if w.plane.take("zato/main/drained/web-1") == "" || w.Report().AckError != "" {
			t.Errorf("it is not tried again: %q", w.Report().AckError)
		}
	})
}

// Two servers are in maintenance and were told that they are drained; they do not stop. That their words cannot be looked
// for while Consul is away is no failure, and one that does not answer does not keep up the loop.
func TestALookForTheWordOfADrainedInstanceMayFail(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		const key = "zato/main/drained/web-1"
		w.catalog(t, "web-1 passing", "web-2 passing", "web-3 passing")
		w.catalog(t, "web-1 maintenance", "web-2 maintenance", "web-3 passing")
		pass(3 * time.Second)
		w.plane.change(func() { w.plane.away = errors.New("connection refused") })
		pass(10 * time.Second)
		w.plane.change(func() { w.plane.away, w.plane.frozen = nil, true })
		for range 20 {
			pass(330 * time.Millisecond)
			asked := time.Now()
			if err := w.Alive(t.Context()); err != nil || time.Since(asked) > lookTimeout {
				t.Errorf("the loop was kept up for %v: %v", time.Since(asked), err)
			}
		}
		if report := w.Report(); report.Counters.AckFailures != 0 || report.AckError != "" {
			t.Errorf("%d failures, the last is %q", report.Counters.AckFailures, report.AckError)
		}
		w.plane.change(func() { w.plane.frozen = false })
		if w.plane.take(key) == "" {
			t.Error("it was not told")
		}
		w.plane.change(func() { w.plane.deaf = key })
		pass(2 * tellAgain)
		if report := w.Report(); report.Counters.AckFailures == 0 || report.AckError == "" {
			t.Error("that it cannot be told anew, though it has taken its word back, is no failure")
		}
		w.plane.change(func() { w.plane.deaf = "" })
		pass(tellAgain)
		if w.plane.take(key) == "" || w.Report().AckError != "" {
			t.Errorf("it is not told anew: %q", w.Report().AckError)
		}
	})
}

func TestThePoolReadsBackFromTheServerLines(t *testing.T) {
	members := []state.Member{
		{Key: "n/web-1", ID: "web-1", Address: "10.0.0.1", Port: 80, Weight: 3, Mode: state.Ready},
		{Key: "n/web-2", ID: "web-2", Address: "10.0.0.2", Port: 80, Weight: 1, Mode: state.Drain},
	}
	pool := state.NewPool(3)
	pool.Slots[0].Member, pool.Slots[2].Member = members[0], members[1]
	if got := Pool(Servers(pool), nil, 0); !slices.Equal(got.Slots, pool.Slots) {
		t.Errorf("%+v became %+v", pool, got)
	}
	if got := Pool(Servers(pool), nil, 5); len(got.Slots) != 5 || got.Used() != 2 {
		t.Errorf("with five slots at least it became %+v", got)
	}
	running := Servers(pool)
	running[0].Admin, running[0].Weight = haproxy.Drain, 7
	running[2].Admin, running[2].Port = haproxy.Ready, 9
	got := Pool(Servers(pool), running, 0)
	if m := got.Slots[0].Member; m.Mode != state.Drain || m.Weight != 7 {
		t.Errorf("a server that drains became %+v", m)
	}
	if m := got.Slots[2].Member; m != members[1] {
		t.Errorf("what runs at another address counted: %+v", m)
	}
}

func TestMetadataSayHowAnInstanceIsTreated(t *testing.T) {
	convert := newConverter(100)
	for _, c := range []struct {
		meta map[string]string
		want state.Instance
	}{
		{nil, state.Instance{MaxConn: 100}},
		{map[string]string{"maxconn": "7", "drain": "true"}, state.Instance{MaxConn: 7, Drain: true}},
		{map[string]string{"maxconn": "0", "drain": "false"}, state.Instance{}},
		{map[string]string{"maxconn": "many"}, state.Instance{Fault: `its metadata have maxconn="many", which is not a number from 0 on`}},
	} {
		snapshot := consul.Snapshot{Instances: []consul.Instance{{Node: "n", ID: "a", Address: "10.0.0.1", Meta: c.meta}}}
		got := convert.catalog(snapshot).Instances[0]
		if got.MaxConn != c.want.MaxConn || got.Drain != c.want.Drain || got.Fault != c.want.Fault {
			t.Errorf("%v: %+v", c.meta, got)
		}
	}
}

func TestALoopThatHangsIsNotAlive(t *testing.T) {
	asks := func(t *testing.T, w *world) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return w.Alive(ctx)
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		if err := asks(t, w); err != nil {
			t.Errorf("at rest: %v", err)
		}
		w.plane.mu.Lock()
		w.plane.down = errors.New("haproxy is away")
		w.plane.mu.Unlock()
		pass(time.Minute)
		if err := asks(t, w); err != nil {
			t.Errorf("when its rounds fail: %v", err)
		}
		hang := make(chan struct{})
		w.plane.mu.Lock()
		w.plane.hang = hang
		w.plane.mu.Unlock()
		pass(time.Minute)
		if err := asks(t, w); err == nil {
			t.Error("it hangs, and is alive")
		}
		w.plane.mu.Lock()
		w.plane.hang = nil
		w.plane.mu.Unlock()
		close(hang)
		if err := asks(t, w); err != nil {
			t.Errorf("after it hung: %v", err)
		}
	})
}
