package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAShellTakesTheLineThatStartsAProgramAgain(t *testing.T) {
	args := []string{"printf", "[%s]", "--plain=1.2.3.4:5", "-hcl=disable_update_check = true", "it's", "$HOME `x`; #", ""}
	p := &Process{cmd: exec.Command(args[0], args[1:]...)}
	if want := `'[%s]' --plain=1.2.3.4:5 '-hcl=disable_update_check = true' 'it'\''s' '`; !strings.Contains(p.Command(), want) {
		t.Errorf("%s does not have %s", p.Command(), want)
	}
	output, err := exec.CommandContext(t.Context(), "sh", "-c", p.Command()).Output()
	if want := "[" + strings.Join(args[2:], "][") + "]"; err != nil || string(output) != want {
		t.Errorf("%s, %v, want %s", output, err, want)
	}
}

func TestAProgramThatStopsBadlyDoesNotStopClean(t *testing.T) {
	for script, want := range map[string]string{
		`trap 'exit 0' TERM; echo ready; while :; do read -r _ < "$0"; done`:                     "",
		`trap 'echo it failed; exit 1' TERM; echo ready; while :; do read -r _ < "$0"; done`:     "did not end in good order (exit status 1): ready\n",
		`trap 'echo it failed; kill -9 $$' TERM; echo ready; while :; do read -r _ < "$0"; done`: "did not end in good order (signal: killed): ready\n",
	} {
		dir := t.TempDir()
		fifo := filepath.Join(dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		c := &Cluster{Config: Config{Dir: dir}}
		server, err := startProcess("server-1", c.log("server-1"), os.Environ(), "sh", "-c", script, fifo)
		if err != nil {
			t.Fatal(err)
		}
		c.Servers = []*Process{server}
		if err := server.Await(t.Context(), func(context.Context) error {
			if server.LogTail() != "ready" {
				return errors.New(server.LogTail())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.Stop(t.Context()); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "it failed")) {
			t.Errorf("%v, want %q", err, want)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("of what had ended before: %v", err)
		}
	}
}
