package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestProgramsHaveThePriorityOfTheirUnits(t *testing.T) {
	units, err := filepath.Glob("../systemd/*.service")
	if err != nil || len(units) < 5 {
		t.Fatalf("units are %q, %v", units, err)
	}
	dropIns, err := filepath.Glob("../systemd/*.service.d/*.conf") // to units of others
	if err != nil || len(dropIns) == 0 {
		t.Fatalf("drop-ins are %q, %v", dropIns, err)
	}
	var nice []string
	for _, unit := range append(units, dropIns...) {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nNice=-10\n") {
			_, rest, ours := strings.Cut(string(text), "\nExecStart=/usr/bin/")
			command, _, _ := strings.Cut(rest, " -")
			if !ours {
				command = strings.TrimSuffix(filepath.Base(filepath.Dir(unit)), ".service.d")
			}
			nice = append(nice, strings.TrimPrefix(command, "zatoha-"))
		}
	}
	slices.Sort(nice)
	if here := slices.Sorted(slices.Values(ahead)); !slices.Equal(nice, here) {
		t.Errorf("units have a priority for %q, here it is for %q", nice, here)
	}
}

func TestOnlyRootPutsProgramsAhead(t *testing.T) {
	got, args := AsUnit("/opt/bin/lb", "track", "--verbose")
	want := []string{"/opt/bin/lb", "track", "--verbose"}
	if os.Geteuid() == 0 {
		want = append([]string{"nice", "-n", "-10"}, want...)
	}
	if all := append([]string{got}, args...); !slices.Equal(all, want) {
		t.Errorf("%q, want %q", all, want)
	}
	if got, args := AsUnit("/opt/bin/server", "--listen=:1"); got != "/opt/bin/server" || len(args) != 1 {
		t.Errorf("a server is started by %q %q", got, args)
	}
}
