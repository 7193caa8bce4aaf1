package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/deploy/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a program in the place of a peer's.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func none(t *testing.T) *cluster.Cluster {
	t.Helper()
	return &cluster.Cluster{Config: cluster.Config{Dir: t.TempDir(), ConsulAddr: "127.0.0.1:9"}}
}

func TestWhoTakesTrafficFromFabio(t *testing.T) {
	const routes = `[
		{"service": "zato-server", "path": "/", "dst": "http://127.0.0.1:17010/", "tags": ["guest-1"], "weight": 0.5},
		{"service": "zato-server", "path": "/", "dst": "http://127.0.0.1:17011/", "weight": 0.5}
	]`
	answer := routes
	ui := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/routes" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, answer)
	}))
	defer ui.Close()
	defer http.DefaultClient.CloseIdleConnections()
	f := &Fabio{ui: ui.Listener.Addr().String()}
	status, err := f.Status(t.Context())
	if err != nil || fmt.Sprint(status.Rotation) != "[guest-1 127.0.0.1:17011]" || len(status.Slots) != 2 || !status.Consul.Reachable {
		t.Errorf("%+v, %v", status, err)
	}
	for _, bad := range []string{"", "<html>", `[{"dst": "http://%zz/"}]`} {
		answer = bad
		if _, err := f.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "fabio's routes") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	answer = "null" // no route is there yet
	if status, err := f.Status(t.Context()); err != nil || len(status.Rotation) != 0 {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestWhoTakesTrafficFromHAProxy(t *testing.T) {
	const stats = "# pxname,svname,scur,status,\nback,a,0,UP,\nback,b,0,UP 1/3,\nback,c,0,DOWN 1/2,\nback,d,0,MAINT,\n\n"
	status, err := haproxyStatus(stats)
	if err != nil || fmt.Sprint(status.Rotation) != "[a b]" || len(status.Slots) != 4 || !status.Consul.Reachable {
		t.Errorf("%+v, %v", status, err)
	}
	for _, bad := range []string{"", "Unknown command\nx\n", "# pxname,svname\nback,a\n", "# a,b\nc\n"} {
		if _, err := haproxyStatus(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAConsulTemplateThatWritesNothing(t *testing.T) {
	_, err := StartConsulTemplate(t.Context(), none(t), script(t, "echo no such flag; exit 14"))
	if err == nil || !strings.Contains(err.Error(), "consul-template -once ended with exit status 14: no such flag") {
		t.Error(err)
	}
}

func TestAFabioThatDoesNotServe(t *testing.T) {
	_, err := StartFabio(t.Context(), none(t), script(t, "echo flag provided but not defined; exit 2"))
	if _, ended := errors.AsType[*cluster.EndedError](err); !ended || !strings.Contains(err.Error(), "flag provided but not defined") ||
		!strings.Contains(err.Error(), "give a fabio 1.6 or newer") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := StartFabio(ctx, none(t), script(t, "exec sleep 60")); err == nil || !strings.Contains(err.Error(), "fabio is not ready") {
		t.Error(err)
	}
	if _, err := StartFabio(t.Context(), none(t), "/nowhere"); err == nil {
		t.Error("a program that is not there is no error")
	}
}

func TestWaitingEndsWithThePeer(t *testing.T) {
	process, err := none(t).Launch("fabio", script(t, "exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	f := &Fabio{process: process, ui: "127.0.0.1:9"}
	err = f.Await(t.Context(), func(cluster.Status) bool { return true })
	if _, ended := errors.AsType[*cluster.EndedError](err); !ended {
		t.Error(err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
