package remote

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"zatoha/haproxy"
)

// told is an API before an HAProxy that somebody has told something at its runtime socket, until it is reloaded.
type told struct {
	text          string
	worker        int
	front, server string // their status
	posts         []string
}

func (a *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		a.text = string(body)
		a.posts = append(a.posts, strings.Split(r.URL.RawQuery, "&")[0])
		if r.URL.Query().Has("force_reload") {
			a.worker, a.front, a.server = a.worker+1, "OPEN", "UP"
		}
	case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
		answer(w, http.StatusOK, map[string]any{"_version": 7, "data": a.text})
	case strings.HasSuffix(r.URL.Path, "/runtime/info"):
		answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": a.worker}}})
	case strings.HasSuffix(r.URL.Path, "/runtime/servers"):
		answer(w, http.StatusOK, []any{map[string]any{"name": "slot-001", "address": "127.0.0.2", "port": 2001, "admin_state": "ready"}})
	default:
		row := map[string]any{"status": a.server, "weight": 1, "slim": 4000}
		answer(w, http.StatusOK, []any{map[string]any{"stats": []any{
			map[string]any{"type": "frontend", "name": haproxy.Frontend, "stats": map[string]any{"status": a.front, "scur": 7, "slim": 7}},
			map[string]any{"type": "server", "backend_name": haproxy.Backend, "name": "slot-001", "stats": row},
		}}})
	}
}

func TestWhatOnlyAReloadUndoesIsUndoneByOne(t *testing.T) {
	want := []haproxy.Server{{Name: "slot-001", Address: "127.0.0.2", Port: 2001, Weight: 1, MaxConn: 4000, Admin: haproxy.Ready}}
	api := &told{worker: 42, front: "OPEN", server: "UP"}
	server := httptest.NewServer(api)
	defer server.Close()
	plane := connected(t, server.URL, someOptions(), memory(t))
	if _, err := plane.Prepare(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	reads := func() haproxy.Server {
		t.Helper()
		running, err := plane.Servers(t.Context())
		if err != nil || len(running) != 1 {
			t.Fatalf("%v, running are %+v", err, running)
		}
		return running[0]
	}
	opens := func(done haproxy.Rewrite) {
		t.Helper()
		reads()
		if got, err := plane.Open(t.Context(), want); err != nil || got != done {
			t.Errorf("%v, and it is said to have done %+v, want %+v", err, got, done)
		}
	}
	undone := haproxy.Rewrite{Reload: haproxy.ReloadToUndo}
	opened := haproxy.Rewrite{Reload: haproxy.ReloadToUndo, Opened: true}
	opens(haproxy.Rewrite{})
	for _, status := range []string{haproxy.Paused, haproxy.Shut} {
		api.front = status
		opens(opened)
		opens(haproxy.Rewrite{})
	}
	api.server = unchecked
	running := reads()
	if !running.Unchecked || !want[0].Differs(running) {
		t.Errorf("a server without checks reads as %+v", running)
	}
	done, err := plane.Set(t.Context(), []haproxy.Change{{From: running, To: want[0]}})
	if running := reads(); err != nil || done != undone || want[0].Differs(running) {
		t.Errorf("%v, it is said to have done %+v, and running is %+v", err, done, running)
	}
	if slices.Contains(api.posts[1:], "skip_reload=true") {
		t.Errorf("posted were %v", api.posts)
	}
	if stats, err := plane.Stats(t.Context()); err != nil || !stats.Full {
		t.Errorf("%v, with all its connections the front is not full: %+v", err, stats)
	}
}
