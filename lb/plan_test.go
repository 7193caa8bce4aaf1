package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/lb/state"
)

func TestAPlanSaysWhatAReloadCloses(t *testing.T) {
	changed := haproxy.Edit{Structural: true}
	for says, f := range map[string]forecast{
		"no reload; ": {running: true},
		"a reload, which closes no connection but those that are still open after --hard-stop-after": {edit: changed, running: true},
		"no reload, for HAProxy is not running":                                                      {edit: changed},
	} {
		if got := f.radius(); !strings.Contains(got, says) {
			t.Errorf("%q does not say %q", got, says)
		}
	}
}

func TestAPlanSaysThatTheSettingsWereRolledBack(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)} {
		var text strings.Builder
		f := forecast{edit: haproxy.Edit{RolledBack: at}}
		if err := f.print(&text); err != nil {
			t.Fatal(err)
		}
		if says := strings.Contains(text.String(), "rolled back at 2026-01-02T12:00:00Z: the ones before stay until lb is started with other flags"); says == at.IsZero() {
			t.Errorf("rolled back at %s, it says\n%s", at, text.String())
		}
	}
}

// A slot that is changed has nobody, or somebody that drains, is held out, fails, or gets requests.
func TestAPlanCountsTheServersThatTakeTraffic(t *testing.T) {
	f := forecast{running: true, stats: haproxy.Stats{Servers: map[string]haproxy.Counters{}}}
	for i, c := range []struct {
		mode   state.Mode
		weight int
		status string
	}{
		{state.Ready, 1, "UP"}, {state.Ready, 1, "UP"}, {state.Drain, 1, "DRAIN"}, {state.Out, 1, "MAINT"}, {state.Ready, 1, "DOWN"}, {state.Ready, 0, "UP"},
	} {
		slot := state.Slot{Name: fmt.Sprintf("slot-%03d", i+1), Member: state.Member{Key: fmt.Sprint("n/web-", i), Mode: c.mode, Weight: c.weight}}
		f.pool.Slots = append(f.pool.Slots, slot)
		f.stats.Servers[slot.Name] = haproxy.Counters{Traffic: haproxy.Traffic{Status: c.status}}
		if i > 0 {
			f.plan.Changes = append(f.plan.Changes, state.Change{Slot: slot.Name, Before: slot.Member})
		}
	}
	if got := f.radius(); !strings.Contains(got, "1 of 2 servers that take traffic, 5 of 6 slots") {
		t.Errorf("it says %q", got)
	}
}
