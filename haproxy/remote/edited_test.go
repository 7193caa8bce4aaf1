package remote

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zatoha/haproxy"
	"zatoha/haproxy/conformance"
)

// What may have been written by us is nobody else's edit.
func TestWhatMayHaveBeenWrittenIsNoEdit(t *testing.T) {
	text, worker, breaks := "", 42, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			text = string(body)
			if r.URL.Query().Has("force_reload") {
				worker++
			}
			if breaks {
				failed(500, "cannot do it")(w, r)
			}
		case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
			answer(w, http.StatusOK, map[string]any{"_version": 7, "data": text})
		default:
			answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": worker}}})
		}
	}))
	defer server.Close()
	plane := connected(t, server.URL, someOptions(), memory(t))
	free := conformance.Free(1)
	does := func(want haproxy.Rewrite, call func() (haproxy.Rewrite, error)) {
		t.Helper()
		if done, err := call(); (err != nil) != breaks || done != want {
			t.Errorf("%v, and it is said to have done %+v, want %+v", err, done, want)
		}
	}
	save := func() (haproxy.Rewrite, error) { return plane.Save(t.Context(), free) }
	does(haproxy.Rewrite{Reload: haproxy.ReloadToSet}, save)
	member := haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: 1, Weight: 1, MaxConn: 7, Admin: haproxy.Ready}
	does(haproxy.Rewrite{Reload: haproxy.ReloadToLimit}, func() (haproxy.Rewrite, error) {
		return plane.Set(t.Context(), []haproxy.Change{{From: free[0], To: member}})
	})
	breaks = true
	does(haproxy.Rewrite{}, save)
	breaks = false
	does(haproxy.Rewrite{}, func() (haproxy.Rewrite, error) { return plane.Save(t.Context(), []haproxy.Server{member}) })
	text = strings.Replace(text, "weight 1", "weight 9", 1)
	does(haproxy.Rewrite{
		Edited: `backend bck_http_plain: "server slot-001 127.0.0.1:1 weight 9 maxconn 7 # zatoha" in place of "server slot-001 127.0.0.1:1 weight 1 maxconn 7 # zatoha"`,
	}, save)
	text = strings.Replace(text, "127.0.0.1:1 disabled", "127.0.0.1:x disabled", 1) // which nobody can read
	done, err := save()
	if err != nil || !strings.Contains(done.Edited, "127.0.0.1:x") || done.Reload != haproxy.ReloadToRepair {
		t.Errorf("%v, and it is said to have done %+v", err, done)
	}
	text = strings.Replace(text, "127.0.0.1:1 disabled", "127.0.0.1:1 backup disabled", 1) // which we never write
	does(haproxy.Rewrite{
		Edited: `backend bck_http_plain: "server slot-001 127.0.0.1:1 backup disabled # zatoha" in place of "server slot-001 127.0.0.1:1 disabled # zatoha"`,
		Reload: haproxy.ReloadToRepair,
	}, save)
	if strings.Contains(text, "backup") {
		t.Errorf("the option is still there:\n%s", text)
	}
}
