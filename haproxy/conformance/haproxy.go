package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// HAProxy is a real HAProxy in a directory of its own, for the factories. It ends with the test.
type HAProxy struct {
	Paths   process.Paths
	Process *process.Process
	Options haproxy.Options

	changed chan struct{}
	end     func() // stops the supervision
}

// NewHAProxy prepares one that takes clients at an address, whose haproxy.cfg has the given text, and skips the test
// where no haproxy is installed.
func NewHAProxy(t *testing.T, address, text string) *HAProxy {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &HAProxy{
		Paths:   process.Paths{Config: filepath.Join(dir, "haproxy.cfg"), Dir: dir},
		Options: haproxy.DefaultOptions(),
		changed: make(chan struct{}, 1),
		end:     func() {},
	}
	h.Options.Bind = address
	h.Options.StatsSocket = h.Paths.Stats()
	h.Process = process.New("haproxy", h.Paths, zerolog.Nop(), h.signal)
	if text != "" {
		h.Overwrite(t, text)
	}
	return h
}

func (h *HAProxy) signal() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

const startTimeout = 10 * time.Second

// Start starts and supervises HAProxy, and returns when it serves.
func (h *HAProxy) Start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Process.Run(ctx) }()
	h.end = func() {
		cancel()
		<-done
	}
	t.Cleanup(func() { h.Stop(t) })
	late := time.After(startTimeout)
	for !process.Running(t.Context(), h.Paths) || h.Process.Status().Worker == 0 {
		select {
		case <-h.changed:
		case <-late:
			t.Fatal("haproxy does not start")
		}
	}
}

// Stop ends HAProxy, if it runs.
func (h *HAProxy) Stop(t *testing.T) {
	t.Helper()
	h.end()
	h.end = func() {}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	must(t, process.Stop(ctx, h.Paths))
}

// Reload has HAProxy read its file again.
func (h *HAProxy) Reload(t *testing.T) {
	t.Helper()
	must(t, h.Process.Reload(t.Context()))
}

// Config is haproxy.cfg.
func (h *HAProxy) Config(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(h.Paths.Config)
	must(t, err)
	return string(text)
}

// Overwrite puts another text into haproxy.cfg, at one stroke.
func (h *HAProxy) Overwrite(t *testing.T, text string) {
	t.Helper()
	next := h.Paths.Config + ".operator"
	must(t, os.WriteFile(next, []byte(text), 0o644))
	must(t, os.Rename(next, h.Paths.Config))
}
