package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestHAProxyIsEndedAlsoWhenTheTimeToStopIsUp(t *testing.T) {
	dir := t.TempDir()
	lb, said := filepath.Join(dir, "lb"), filepath.Join(dir, "said")
	if err := os.WriteFile(lb, []byte("#!/bin/sh\necho \"$@\" > "+said+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	j, err := hireJanitor(lb, dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Cluster{Config: Config{Dir: dir}, janitor: j}).Stop(ctx); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(said); err != nil || string(text) != "stop-haproxy --state-dir "+dir+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}
