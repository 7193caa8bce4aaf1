package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// TestAMasterThatDoesNotAnswerIsStopped has a shell for a master, which is found among all processes and answers nobody.
func TestAMasterThatDoesNotAnswerIsStopped(t *testing.T) {
	t.Parallel() // it takes as long as a master may be silent
	g := &grammar{StateDir: t.TempDir()}
	master := exec.Command("sh", "-c", "read -r _", "haproxy", "-S", g.paths().Master()+",mode,600")
	master.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	held, err := master.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.paths().PID(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	if err := (stopCommand{}).Run(t.Context(), zerolog.Nop(), g); err != nil {
		t.Error(err)
	}
	held.Close()
	if err := master.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the master ended by %v", err)
	}
	if _, err := os.Stat(g.paths().PID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its pid file: %v", err)
	}
}
