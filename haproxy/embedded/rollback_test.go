package embedded

import (
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
)

func TestARolledBackDesignStaysAwayAndMembersStay(t *testing.T) {
	d, paths := start(t, 2)
	if err := d.Rollback(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be rolled back") {
		t.Errorf("with no design before this one, rollback says %v", err)
	}
	first := []haproxy.Server{member(1, haproxy.Ready), freeSlots(2)[1]}
	d.options.ServerTimeout = 7 * time.Second
	if err := d.Prepare(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	worker := d.process.Status().Worker
	grown := append([]haproxy.Server{member(1, haproxy.Ready), member(2, haproxy.Ready)}, freeSlots(4)[2:]...)
	if err := d.Rebuild(t.Context(), grown); err != nil {
		t.Fatal(err)
	}

	if err := d.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	has := func(line string, want bool) {
		t.Helper()
		if got := strings.Contains(read(t, paths.Config), line+" # zatoha"); got != want {
			t.Errorf("%q in the file: %v, want %v", line, got, want)
		}
	}
	has("timeout server 7000ms", false)
	has("timeout server 30000ms", true)
	same(t, d, grown)
	if d.process.Status().Worker == worker {
		t.Error("haproxy was not reloaded")
	}

	// Neither a change of members, nor growth, nor a restart with the same options brings it again.
	grown[1] = freeSlots(2)[1]
	if err := d.Save(t.Context(), grown); err != nil {
		t.Fatal(err)
	}
	if err := d.Rebuild(t.Context(), append(grown, haproxy.Server{Name: "slot-005", Admin: haproxy.Maint})); err != nil {
		t.Fatal(err)
	}
	has("timeout server 7000ms", false)

	d.options.ServerTimeout = 8 * time.Second
	if err := d.Prepare(t.Context(), grown); err != nil {
		t.Fatal(err)
	}
	has("timeout server 8000ms", true)
}

func TestAnHAProxyOnAnotherStructureIsReloaded(t *testing.T) {
	d, paths := start(t, 2)
	servers := freeSlots(2)
	reloads := d.process.Status().Reloads
	if err := d.Save(t.Context(), servers); err != nil {
		t.Fatal(err)
	}
	if d.process.Status().Reloads != reloads {
		t.Error("reloaded for nothing")
	}
	before := read(t, paths.Config)
	write(t, paths.Config, strings.Replace(before, "balance roundrobin", "balance leastconn", 1))
	if err := d.process.Reload(t.Context()); err != nil { // somebody edits our lines, and reloads
		t.Fatal(err)
	}
	if err := d.Save(t.Context(), servers); err != nil {
		t.Fatal(err)
	}
	if text := read(t, paths.Config); text != before {
		t.Errorf("the file is not as it was:\n%s", text)
	}
	if running, err := d.runtime.structure(t.Context()); err != nil || !strings.Contains(before, running) {
		t.Errorf("haproxy runs on %q, %v", running, err)
	}
}
