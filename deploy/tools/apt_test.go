package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// apt installs hey, and notes how it was called.
	apt = `echo "$0 $*" >> "$FAKES/calls"
case "$*" in
*--version*) ;;
update*) echo "Err:1 http://mirror.example bookworm InRelease"; exit 100;;
install*hey*) echo "Setting up hey"; echo "exit 0" > "$FAKES/hey"; /bin/chmod +x "$FAKES/hey";;
esac`
	sudo = `echo sudo >> "$FAKES/calls"; [ "$1" = -n ] && shift && exec "$@"`
)

func TestAptInstallsWhatIsMissing(t *testing.T) {
	const calls = "PATH/apt-get update -o DPkg::Lock::Timeout=120\n" +
		"PATH/apt-get install -y --no-install-recommends hey -o DPkg::Lock::Timeout=120\n"
	for _, test := range []struct {
		name  string
		uid   int
		calls string
	}{
		{"as root", 0, calls},
		{"by sudo", 1000, "sudo\nPATH/apt-get --version\n" + strings.ReplaceAll("\n"+strings.TrimSpace(calls), "\n", "\nsudo\n")[1:] + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBare(t, map[string]string{"apt-get": apt, "sudo": sudo})
			b.uid = test.uid
			b.expect(t, "hey", 0, "hey      PATH/hey\n", "$ ", "apt-get update\n", "apt-get install -y --no-install-recommends hey\n")
			got, err := os.ReadFile(filepath.Join(b.path, "calls"))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(string(got), b.path, "PATH"); got != test.calls {
				t.Errorf("called:\n%swant:\n%s", got, test.calls)
			}
		})
	}
}

func TestWhatAptCannotInstall(t *testing.T) {
	const byHand = `as root, run "apt-get update && apt-get install -y --no-install-recommends hey", then try again`
	for _, test := range []struct {
		name    string
		uid     int
		scripts map[string]string
		says    []string
	}{
		{"no apt-get", 0, nil, []string{"tools: hey is missing and cannot be installed: there is no apt-get in PATH"}},
		{
			"neither root nor sudo", 1000,
			map[string]string{"apt-get": apt},
			[]string{"tools: hey is missing and cannot be installed: this needs root, and there is no sudo: " + byHand},
		},
		{
			"sudo asks for a password", 1000,
			map[string]string{"apt-get": apt, "sudo": "echo 'sudo: a password is required'; exit 1"},
			[]string{"this needs root, and sudo asks for a password", byHand},
		},
		{
			"no network", 0,
			map[string]string{"apt-get": `echo "W: Failed to fetch http://x  Temporary failure resolving 'x'"; [ "$1" = update ]`},
			[]string{"  | W: Failed to fetch", "tools: install hey: no network: " + byHand},
		},
		{
			"no such package", 0,
			map[string]string{"apt-get": "echo E: Unable to locate package hey; exit 100"},
			[]string{"  | E: Unable to locate package hey\n", "tools: install hey: exit status 100: " + byHand},
		},
		{
			"apt lies", 0,
			map[string]string{"apt-get": "exit 0"},
			[]string{"tools: hey not found in PATH"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBare(t, test.scripts)
			b.uid = test.uid
			b.expect(t, "hey", 2, "", test.says...)
		})
	}
}

func TestAServiceDoesNotStayBehind(t *testing.T) {
	const note = `echo "$0 $*" >> "$FAKES/calls"; exit 3`
	b := newBare(t, map[string]string{"apt-get": apt, "service": note, "systemctl": note})
	if err := b.withoutService("hey", b.apt("hey"))(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(b.path, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "PATH/service hey stop\nPATH/systemctl disable hey\n"; !strings.HasSuffix(strings.ReplaceAll(string(got), b.path, "PATH"), want) {
		t.Errorf("called:\n%swant at the end:\n%s", got, want)
	}
	if err := newBare(t, nil).withoutService("hey", b.apt("hey"))(t.Context()); err == nil {
		t.Error("a package that cannot be had is no error")
	}
}
