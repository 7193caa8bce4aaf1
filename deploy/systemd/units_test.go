// Package systemd has the units by which systemd runs our programs, and their tests.
//
// One case: `systemctl restart zatoha-lb` on a machine under load. systemd ends the controller alone, as the unit says;
// HAProxy stays in the unit's group and serves on. The new controller adopts it and says that it is ready, by the socket
// in NOTIFY_SOCKET, and from then on every 40 seconds that its loop turns: see deploy/program, Attend. When it does not
// for two minutes, systemd ends it, with a trace of what every goroutine was doing in the journal, and starts another.
package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zatoha/deploy/tools/find"
)

// TestMain lets the test binary play what systemd does before it starts the program of a unit.
func TestMain(m *testing.M) {
	if haproxy := os.Getenv("SYSTEMD_TEST_HAPROXY"); haproxy != "" {
		os.Exit(checkDefaults(haproxy))
	}
	os.Exit(m.Run())
}

// exposed is systemd's measure of what a unit may do: 10 is everything; below 2 it says "OK".
const exposed = "20" // tenths

func analyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err == nil {
		return path
	}
	if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
		t.Fatal(err)
	}
	t.Skip("NOT RUN, for want of systemd-analyze (apt-get install systemd)")
	return ""
}

func units(t *testing.T) []string {
	t.Helper()
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) < 5 {
		t.Fatalf("units are %q, %v", units, err)
	}
	return units
}

// dropIns are what we add to the units of others.
func dropIns(t *testing.T) []string {
	t.Helper()
	dropIns, err := filepath.Glob("*.service.d/*.conf")
	if err != nil || len(dropIns) < 2 {
		t.Fatalf("drop-ins are %q, %v", dropIns, err)
	}
	return dropIns
}

var program = regexp.MustCompile(`(?m)^(ExecStart)=\S+`)

// systemd understands every line. What it cannot find here, the programs, is replaced by one that is everywhere.
func TestUnitsAreUnderstood(t *testing.T) {
	t.Parallel()
	analyze, dir := analyze(t), t.TempDir()
	var copies []string
	for _, unit := range units(t) {
		copies = append(copies, filepath.Join(dir, unit))
		place(t, copies[len(copies)-1], program.ReplaceAll(read(t, unit), []byte("$1=/bin/true")))
	}
	for _, dropIn := range dropIns(t) { // each is read with its unit, for which any will do
		place(t, filepath.Join(dir, dropIn), read(t, dropIn))
		copies = append(copies, strings.TrimSuffix(filepath.Join(dir, filepath.Dir(dropIn)), ".d"))
		place(t, copies[len(copies)-1], []byte("[Service]\nExecStart=/bin/true\n"))
	}
	output, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, copies...)...).CombinedOutput()
	if err != nil || strings.Contains(string(output), dir) || strings.Contains(string(output), "Unknown") {
		t.Errorf("%v: %s", err, output)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func place(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUnitsMayDoLittle(t *testing.T) {
	t.Parallel()
	analyze := analyze(t)
	for _, unit := range units(t) {
		output, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", "--threshold="+exposed, unit).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", unit, err, output)
		}
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		t.Log(lines[len(lines)-1])
	}
}

var runsHAProxy = regexp.MustCompile(`(?m)^ExecStart=(/usr/bin/zatoha-lb --|\S*haproxy )`)

// HAProxy that has PCRE with a JIT, as Debian's, takes no regular expression without memory that it may write and run.
func TestAUnitGivesHAProxyTheMemoryThatItNeeds(t *testing.T) {
	t.Parallel()
	haproxy, err := find.FindHAProxy()
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(os.Args[0])
	check.Env = append(os.Environ(), "SYSTEMD_TEST_HAPROXY="+haproxy)
	output, refused := check.CombinedOutput()
	if check.ProcessState != nil && check.ProcessState.ExitCode() == tooOld {
		t.Skip("NOT RUN: it takes Linux 6.3 to deny a program memory that it may write and run")
	}
	found := 0
	for _, unit := range units(t) {
		text := read(t, unit)
		if !runsHAProxy.Match(text) {
			continue
		}
		found++
		if refused != nil && strings.Contains(string(text), "\nMemoryDenyWriteExecute=yes") {
			t.Errorf("%s says MemoryDenyWriteExecute=yes, with which HAProxy refuses our default configuration: %v: %s", unit, refused, output)
		}
	}
	if found == 0 {
		t.Error("no unit is known to run HAProxy")
	}
}

// tooOld is the exit status of checkDefaults where the kernel cannot do what it needs.
const tooOld = 77

// checkDefaults becomes HAProxy that checks the default configuration as with MemoryDenyWriteExecute=yes.
func checkDefaults(haproxy string) int {
	if unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != nil {
		return tooOld
	}
	fmt.Fprintln(os.Stderr, unix.Exec(haproxy, []string{haproxy, "-c", "-f", "../../haproxy/testdata/default.cfg"}, os.Environ()))
	return 1
}

// A stop or a death of the controller must not reach HAProxy; a server and a connector host are to end as a whole, but
// not because one child has died.
func TestWhatDiesWithAUnit(t *testing.T) {
	t.Parallel()
	const after = "After=network-online.target consul.service"
	for unit, want := range map[string][]string{
		"zatoha-lb.service":         {after, "KillMode=process", "Type=notify", "Restart=always", "WatchdogSec=120", "LimitNOFILE=", "Nice=-10", "PrivateTmp=no", "OOMPolicy=continue"},
		"consul.service":            {"After=network-online.target", "KillMode=process", "Restart=always", "Nice=-10", "ExecReload=/bin/kill --signal HUP"},
		"zatoha-track.service":      {after, "KillMode=mixed", "Type=notify", "Restart=always", "WatchdogSec=15", "Nice=-10", "Before=keepalived.service"},
		"zatoha-edge.service":       {"After=network-online.target haproxy.service", "KillMode=mixed", "Type=notify", "Restart=always", "WatchdogSec=30"},
		"zatoha-edge-track.service": {"After=network-online.target haproxy.service", "KillMode=mixed", "Type=notify", "Restart=always", "WatchdogSec=15", "Nice=-10", "Before=keepalived.service"},
		"zatoha-server.service":     {after, "KillMode=mixed", "Type=notify", "Restart=always", "WatchdogSec=30", "LimitNOFILE="},
		"zatoha-connectorhost.service": {
			after, "KillMode=mixed", "Type=notify", "Restart=always", "WatchdogSec=15", "LimitNOFILE=", "Nice=-10", "SystemCallFilter=setpriority",
			"OOMPolicy=continue",
		},
		"haproxy.service.d/10-zatoha.conf": {"Nice=-10"},
	} {
		text := read(t, unit)
		for _, line := range want {
			if !strings.Contains(string(text), "\n"+line) {
				t.Errorf("%s does not say %s", unit, line)
			}
		}
	}
}

// What a program refuses at boot, such as an address that is not there yet, is no reason to stay away; nor may one that
// is wrongly configured take up a processor by starting over.
func TestAUnitStartsOverUntilItIsWell(t *testing.T) {
	t.Parallel()
	for _, unit := range append(units(t), "keepalived.service.d/10-zatoha.conf") {
		text := read(t, unit)
		for _, line := range []string{`StartLimitIntervalSec=0`, `Restart=always`, `RestartSec=1s`} {
			if !regexp.MustCompile(`(?m)^` + line + `$`).Match(text) {
				t.Errorf("%s does not say %s", unit, line)
			}
		}
		if strings.Contains(string(text), "\nRestartPreventExitStatus=") {
			t.Errorf("%s stays down when a program refuses what it finds", unit)
		}
	}
}
