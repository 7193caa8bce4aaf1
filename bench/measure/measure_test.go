package measure

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/tools/find"
)

func TestSamples(t *testing.T) {
	var s Sample
	for i := range 100 {
		s.add(time.Duration(100-i) * time.Millisecond)
	}
	if got := s.String(); got != "n 100, median 50.00 ms, p99 99.00 ms, worst 100.00 ms" {
		t.Error(got)
	}
	if (Sample{}).Quantile(0.5) != 0 {
		t.Error("of nothing, something")
	}
}

func TestMeans(t *testing.T) {
	for _, test := range []struct {
		of   Sample
		want string
	}{
		{nil, "0.000 ± 0.000"},
		{Sample{0.9}, "0.900 ± 0.000"},
		{Sample{0.5, 2}, "1.000 ± 0.693"}, // the logarithms are ∓0.693
		{Sample{0.5, 2, 0.5, 2}, "1.000 ± 0.400"},
	} {
		if got := test.of.mean().String(); got != test.want {
			t.Errorf("%v: %s, want %s", test.of, got, test.want)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		target target
		want   string
	}{
		{target{"free", Sample{5}, 0, 0}, ""},
		{target{"met", Sample{1, 2, 3}, 2, 3}, "PASS"},
		{target{"median missed", Sample{1, 2, 3}, 1.9, 0}, "**FAIL**"},
		{target{"p99 missed", Sample{1, 2, 3}, 0, 2.9}, "**FAIL**"},
		{target{"no figures", nil, 1, 1}, "**FAIL**"},
	} {
		row := test.target.row()
		if got := row[len(row)-1]; got != test.want {
			t.Errorf("%s: %q", test.target.what, got)
		}
	}
}

func TestTheStaticConfiguration(t *testing.T) {
	const ours = `global # zatoha
    stats socket /run/s mode 600 # zatoha
    tune.bufsize 65536 # zatoha
frontend f # zatoha
    bind 127.0.0.1:11223 # zatoha
backend b # zatoha
    server slot-001 127.0.0.1:17010 weight 1 # zatoha node/one
    server slot-002 127.0.0.1:1 disabled # zatoha
`
	const want = `global # zatoha
    tune.bufsize 65536 # zatoha
frontend f # zatoha
    bind 127.0.0.1:FRONT # zatoha
backend b # zatoha
    server slot-001 127.0.0.1:17010 weight 1 # zatoha node/one
`
	if got := static(ours); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Bare("127.0.0.1:80", []string{"127.0.0.1:1", "127.0.0.1:2"}); strings.Count(got, " check\n") != 2 {
		t.Error(got)
	}
}

// A second bind would share the port, and the connections, with a front that has none of the rules.
func TestTheStaticConfigurationHasOneFrontAndNoRelay(t *testing.T) {
	ours, err := os.ReadFile("../../haproxy/testdata/default.cfg")
	if err != nil {
		t.Fatal(err)
	}
	got := static(string(ours))
	if strings.Count(got, " bind ") != 1 || strings.Contains(got, "relay") || strings.Contains(got, ".sock") || !strings.Contains(got, "http-request deny") {
		t.Errorf("got:\n%s", got)
	}
	binary, err := find.FindHAProxy()
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(got, frontMark, "127.0.0.1:11223")), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), binary, "-c", "-f", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestTheMostMemoryOfAProcess(t *testing.T) {
	const status = "Name:\tlb\nVmPeak:\t  900000 kB\nVmHWM:\t  146484 kB\nVmRSS:\t   70000 kB\n"
	if mb, ok := highWater(status); !ok || int(mb) != 149 {
		t.Error(mb, ok)
	}
	if mb, ok := highWater("VmRSS:\t   70000 kB\n"); ok {
		t.Error(mb)
	}
	if mb, err := mostResident(os.Getpid()); err != nil || mb < 1 {
		t.Error(mb, err)
	}
}

func TestInstancesHaveAddressesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for i := range 6000 { // and newcomers
		address := instance(i, 1).Address
		if seen[address] {
			t.Fatalf("%s is given twice", address)
		}
		seen[address] = true
	}
}

func TestEachNewcomerIsAnother(t *testing.T) {
	var n newcomers
	seen := map[string]bool{}
	for range 3 {
		err := n.each(func(s *subject) error {
			r := member(s.id, s.server)
			if seen[r.ID] || r.Address == "" {
				t.Errorf("%s at %q comes again, or is nowhere", r.ID, r.Address)
			}
			seen[r.ID] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhoTakesTraffic(t *testing.T) {
	const line = "3 bck_http_plain 1 slot-001 127.0.0.1 %s 1 1 3 6 3 4 6 0 0 0 - 17010 - 0 0 - - 0\n"
	for states, want := range map[string]bool{
		"2 0": true, "2 4": true, "0 0": false, "2 1": false, "2 5": false, "2 8": false, "0 33": false, "2 x": false,
	} {
		if got := takes("1\n"+strings.Replace(line, "%s", states, 1), "17010"); got != want {
			t.Errorf("operational and administrative state %s: %v", states, got)
		}
	}
	if takes("1\n"+line, "17011") {
		t.Error("nobody takes traffic")
	}
}
