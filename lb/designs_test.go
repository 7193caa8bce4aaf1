package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
)

// The other load balancers have the designs A or B. This one has A, then B, and is rolled back.
func TestOthersAreToldOfTheDesignInPlace(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	started := func(flags string, placed haproxy.Placed) *designs {
		t.Helper()
		d := newDesigns(dir, flags)
		if err := d.note(placed); err != nil {
			t.Fatal(err)
		}
		return d
	}
	tells := func(d *designs, placed haproxy.Placed, want string) {
		t.Helper()
		if got := d.told(placed); got != want {
			t.Errorf("of %+v it tells %q, want %q", placed, got, want)
		}
	}
	tells(started("A", haproxy.Placed{Design: "a"}), haproxy.Placed{Design: "a"}, "A")
	d := started("B", haproxy.Placed{Design: "b"})
	tells(d, haproxy.Placed{Design: "b"}, "B")
	tells(d, haproxy.Placed{Design: "a", RolledBack: now}, "A")
	tells(d, haproxy.Placed{Design: "older", RolledBack: now}, "not B")
	tells(started("B", haproxy.Placed{Design: "a", RolledBack: now}), haproxy.Placed{Design: "a", RolledBack: now}, "A")

	for i := range 3 * keptDesigns {
		started(fmt.Sprint("F", i), haproxy.Placed{Design: fmt.Sprint("f", i)})
	}
	started("last", haproxy.Placed{Design: fmt.Sprint("f", 3*keptDesigns-1)}) // named by another version
	text, err := os.ReadFile(filepath.Join(dir, "designs"))
	if err != nil || strings.Count(string(text), "\n") != keptDesigns || !strings.HasSuffix(string(text), " last\n") {
		t.Errorf("%v, remembered are\n%s", err, text)
	}
	if err := newDesigns(filepath.Join(dir, "none"), "A").note(haproxy.Placed{Design: "a"}); err == nil {
		t.Error("a file that cannot be written is no error")
	}
}
