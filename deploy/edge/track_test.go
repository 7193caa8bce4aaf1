package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/lb/address"
)

func TestKeepalivedIsToldHowAnOuterLoadBalancerServes(t *testing.T) {
	o := startOuter(t, nil)
	command := trackCommand{address.Fronts{Listen: program.HostPort(o.front)}, meeting{t.TempDir()}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- command.Run(ctx, zerolog.Nop()) }()
	says := func(want string) {
		t.Helper()
		eventually(t, func() error {
			text, err := os.ReadFile(filepath.Join(command.TrackDir, "track"))
			if err == nil && string(text) != want+"\n" {
				err = fmt.Errorf("keepalived is told %q, want %s", text, want)
			}
			return err
		})
	}
	probe := probeCommand{command.Fronts}
	says("0")
	o.a.ill.Store(true)
	says("0") // one of two clusters is enough
	o.b.ill.Store(true)
	says("-20")
	if err := probe.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(o.master, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	says("-254")
	if err := probe.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNobodyIsTrackedIntoNowhere(t *testing.T) {
	command := trackCommand{meeting: meeting{filepath.Join(t.TempDir(), "x")}}
	if err := command.Run(t.Context(), zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "--track-dir") {
		t.Error(err)
	}
}
