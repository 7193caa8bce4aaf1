package embedded

import (
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
)

func TestARolledBackDesignStaysAwayAndMembersStay(t *testing.T) {
	d, paths := start(t, 2)
	if _, err := d.Rollback(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be rolled back") {
		t.Errorf("with no design before this one, rollback says %v", err)
	}
	first := []haproxy.Server{member(1, haproxy.Ready), freeSlots(2)[1]}
	d.options.ServerTimeout = 7 * time.Second
	if _, err := d.Prepare(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	worker := d.process.Status().Worker
	grown := append([]haproxy.Server{member(1, haproxy.Ready), member(2, haproxy.Ready)}, freeSlots(4)[2:]...)
	if _, err := d.Rebuild(t.Context(), grown, haproxy.ReloadToGrow); err != nil {
		t.Fatal(err)
	}

	if _, err := d.Rollback(t.Context()); err != nil {
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
	if _, err := d.Save(t.Context(), grown); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rebuild(t.Context(), append(grown, haproxy.Server{Name: "slot-005", Admin: haproxy.Maint}), haproxy.ReloadToGrow); err != nil {
		t.Fatal(err)
	}
	has("timeout server 7000ms", false)

	d.options.ServerTimeout = 8 * time.Second
	if _, err := d.Prepare(t.Context(), grown); err != nil {
		t.Fatal(err)
	}
	has("timeout server 8000ms", true)
}

func TestAnHAProxyOnAnotherStructureIsReloaded(t *testing.T) {
	for name, c := range map[string]struct{ old, new, told string }{
		"a line": {
			"balance roundrobin", "balance leastconn",
			`"balance leastconn # zatoha" in place of "balance roundrobin # zatoha"`,
		},
		"a server's option": {
			"slot-001 127.0.0.1:1 disabled", "slot-001 127.0.0.1:1 backup disabled",
			`"server slot-001 127.0.0.1:1 backup disabled # zatoha" in place of "server slot-001 127.0.0.1:1 disabled # zatoha"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, paths := start(t, 2)
			servers := freeSlots(2)
			reloads := d.process.Status().Reloads
			if _, err := d.Save(t.Context(), servers); err != nil {
				t.Fatal(err)
			}
			if d.process.Status().Reloads != reloads {
				t.Error("reloaded for nothing")
			}
			before := read(t, paths.Config)
			write(t, paths.Config, strings.Replace(before, c.old, c.new, 1))
			if err := d.process.Reload(t.Context()); err != nil { // somebody edits our lines, and reloads
				t.Fatal(err)
			}
			done, err := d.Save(t.Context(), servers)
			if err != nil {
				t.Fatal(err)
			}
			if done != (haproxy.Rewrite{Edited: "backend bck_http_plain: " + c.told, Reload: haproxy.ReloadToRepair}) {
				t.Errorf("it is said to have done %+v", done)
			}
			if d.process.Status().Reloads != reloads+2 {
				t.Error("haproxy runs on what somebody has made of our lines")
			}
			if text := read(t, paths.Config); text != before {
				t.Errorf("the file is not as it was:\n%s", text)
			}
			if running, err := d.runtime.structure(t.Context()); err != nil || !strings.Contains(before, running) {
				t.Errorf("haproxy runs on %q, %v", running, err)
			}
		})
	}
}

func TestAServerLineOfOursWithoutANameIsPutRight(t *testing.T) {
	d, paths := start(t, 2)
	before := read(t, paths.Config)
	write(t, paths.Config, strings.Replace(before, "server slot-001 127.0.0.1:1 disabled", "server", 1))
	done, err := d.Save(t.Context(), freeSlots(2))
	if err != nil || !strings.Contains(done.Edited, `"server # zatoha" is new`) || done.Reload != haproxy.ReloadToRepair {
		t.Errorf("%v, and it is said to have done %+v", err, done)
	}
	if text := read(t, paths.Config); text != before {
		t.Errorf("the file is not as it was:\n%s", text)
	}
}

// The file tells a controller that did not write it which structure it should have.
func TestWhatWasEditedWhileNoControllerRanIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		timeout  time.Duration
		told     string
	}{
		"nothing":           {"", "", 30 * time.Second, ""},
		"a line":            {"balance roundrobin", "balance leastconn", 30 * time.Second, "balance leastconn"},
		"our mark":          {"balance roundrobin # zatoha", "balance roundrobin", 30 * time.Second, "is gone"},
		"and other flags":   {"balance roundrobin", "balance leastconn", 7 * time.Second, "while no controller ran"},
		"only other flags":  {"", "", 7 * time.Second, ""},
		"their own line":    {"    balance", "    option allbackups\n    balance", 30 * time.Second, ""},
		"a server, adopted": {"127.0.0.2:2001 weight 1", "127.0.0.2:2001 weight 9", 30 * time.Second, ""},
		"a server's option": {"127.0.0.2:2001 weight 1", "127.0.0.2:2001 weight 1 backup", 30 * time.Second, "while no controller ran"},
	} {
		t.Run(name, func(t *testing.T) {
			before, paths := newDataPlane(t)
			servers := []haproxy.Server{member(1, haproxy.Ready)}
			if _, err := before.Prepare(t.Context(), servers); err != nil {
				t.Fatal(err)
			}
			write(t, paths.Config, strings.Replace(read(t, paths.Config), c.old, c.new, 1))
			options := before.options
			options.ServerTimeout = c.timeout
			done, err := New("haproxy", paths, options, before.process).Prepare(t.Context(), servers)
			if err != nil || !strings.Contains(done.Edited, c.told) || (done.Edited == "") != (c.told == "") || done.Reload != "" {
				t.Errorf("%v, and it is said to have done %+v", err, done)
			}
		})
	}
}
