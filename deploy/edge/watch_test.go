package main

import (
	"testing"
	"time"
)

func TestSessionsAreEndedOnceTheirClusterHasBeenDownForAMoment(t *testing.T) {
	w := watch{connect: 250 * time.Millisecond, down: map[string]time.Time{}}
	began := time.Now()
	for _, step := range []struct {
		after    time.Duration
		status   string
		result   string
		sessions int
		due      bool
	}{
		{0, "UP", "L7OK", 3, false},
		{100 * time.Millisecond, "DOWN", "L7TOUT", 3, false},
		{195 * time.Millisecond, "DOWN", "* L7TOUT", 3, true},
		{300 * time.Millisecond, "DOWN 1/40", "L7OK", 0, false},
		{400 * time.Millisecond, "UP", "L7OK", 3, false},
		// Cut off: what was connecting when it was found out has until 600 ms.
		{500 * time.Millisecond, "DOWN", "L4TOUT", 3, false},
		{600 * time.Millisecond, "DOWN", "* L4TOUT", 3, false},
		{1000 * time.Millisecond, "DOWN", "L4TOUT", 3, false},
		{1100 * time.Millisecond, "DOWN", "L4TOUT", 3, true},
		{1200 * time.Millisecond, "MAINT", "L4TOUT", 3, false},
		{1300 * time.Millisecond, "DOWN", "L4CON", 3, false},
		// Drained, and not down for having failed one check.
		{1400 * time.Millisecond, "DRAIN", "L7OK", 3, false},
		{1500 * time.Millisecond, "DRAIN 1/2", "L7TOUT", 3, false},
		{1700 * time.Millisecond, "DRAIN 1/2", "* L7TOUT", 3, false},
		{1800 * time.Millisecond, "DOWN", "L7TOUT", 3, false},
		{1900 * time.Millisecond, "DOWN", "L7TOUT", 3, true},
	} {
		e := endpoint{cluster: "b", status: step.status, result: step.result, maintained: step.status == "MAINT", sessions: step.sessions}
		if due := w.lost([]endpoint{e}, began.Add(step.after)); (len(due) == 1) != step.due {
			t.Errorf("%+v: due %v", step, due)
		}
	}
}

func TestWhatAnOperatorWantsIsSaidOnce(t *testing.T) {
	for status, want := range map[string]string{"DRAIN": "DRAIN", "DRAIN 1/2": "DRAIN 1/2", "DOWN": "DOWN, drained", "MAINT": "MAINT, drained"} {
		if got := (endpoint{status: status, draining: true}).state(); got != want {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
}
