package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAClusterMovesToAnotherPortByAReload(t *testing.T) {
	o := startOuter(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	watched := o.watch(ctx, io.Discard)
	defer func() { cancel(); <-watched }()
	eventually(t, func() error {
		states, err := os.ReadFile(o.state)
		if len(statePorts(string(states))) != 2 {
			return fmt.Errorf("the watch has written %q, %v", states, err)
		}
		return nil
	})
	moved := newMadeUp(t, "moved")
	flags, err := config(t, "--listen", o.front, "--socket", o.socket, "--state-file", o.state, "--metrics-listen", o.metrics, "--return-after=200ms",
		"--clusters=a="+o.a.Listener.Addr().String()+",b="+moved.Listener.Addr().String(), "--write", filepath.Join(filepath.Dir(o.state), "haproxy.cfg"))
	if err == nil {
		err = flags.Run(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	d := drainCommand{Cluster: "b", Timeout: bound} // which the watch writes down, while HAProxy runs on the old port
	if err := d.drain(t.Context(), io.Discard, []string{o.socket}); err != nil {
		t.Fatal(err)
	}
	o.reload(t)
	if views := must(lookAt(t.Context(), []string{o.socket})); !seen(views[0], "b").draining {
		t.Errorf("after the reload: %+v", views)
	}
	o.a.ill.Store(true)
	o.b.ill.Store(true)
	r := readyCommand{Cluster: "b", Timeout: bound}
	if err := r.ready(t.Context(), io.Discard, []string{o.socket}); err != nil {
		t.Error(err)
	}
	eventually(t, func() error {
		if _, body, err := o.get("/"); err != nil || body != "moved" {
			return fmt.Errorf("got %q, %v", body, err)
		}
		return nil
	})
}
