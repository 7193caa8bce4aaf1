package remote

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/conformance"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/rollback"
)

// file is our sections with servers that may think for so long.
func file(t *testing.T, timeout time.Duration) string {
	t.Helper()
	options := someOptions()
	options.ServerTimeout = timeout
	text, err := edit.Apply("", options.Sections(conformance.Free(2)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A design that the API refuses to go back to is still there to go back to; one of which nobody knows whether it is in
// place must not be replaced by the one that was given up.
func TestARollbackThatFailsIsRememberedAsFarAsItWent(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		noted  bool
	}{
		{"refused by haproxy", failed(400, "validation error: exit status 1"), false},
		{"refused by the API", failed(429, "limit reached"), false},
		{"broken off", failed(500, "cannot write file"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plane, path := stub(t, file(t, time.Second), c.answer), memory(t)
			plane.memory = rollback.New(path, design)
			if _, err := plane.memory.Keep(file(t, 2*time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := plane.Rollback(t.Context()); err == nil {
				t.Error("the rollback is said to have succeeded")
			}
			kept, err := os.ReadFile(path + ".last-good")
			if err != nil || strings.Contains(string(kept), "timeout server 2000ms") == c.noted {
				t.Errorf("%v, kept is\n%s", err, kept)
			}
			if _, err := os.Stat(path + ".rejected"); (err == nil) != c.noted {
				t.Errorf("the design that was left: %v", err)
			}
		})
	}
}

// What the flags say is A, B, which is rolled back, C, and B.
func TestADesignIsForgottenWhenAnotherIsInPlace(t *testing.T) {
	text, worker := "", 42
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			text, worker = string(body), worker+1
		case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
			answer(w, http.StatusOK, map[string]any{"_version": 7, "data": text})
		default:
			answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": worker}}})
		}
	}))
	defer server.Close()
	path, options := memory(t), someOptions()
	for i, step := range []struct {
		wants    time.Duration
		rollback bool
		runs     string
		away     bool
	}{
		{time.Second, false, "1000ms", false},
		{2 * time.Second, false, "2000ms", false},
		{2 * time.Second, true, "1000ms", true},
		{2 * time.Second, false, "1000ms", true},
		{3 * time.Second, false, "3000ms", false},
		{2 * time.Second, false, "2000ms", false},
	} {
		options.ServerTimeout = step.wants
		plane := connected(t, server.URL, options, path)
		do := func() (haproxy.Rewrite, error) { return plane.Prepare(t.Context(), conformance.Free(2)) }
		if step.rollback {
			do = func() (haproxy.Rewrite, error) { return plane.Rollback(t.Context()) }
		}
		if _, err := do(); err != nil {
			t.Fatal(err)
		}
		placed := plane.Placed()
		if !strings.Contains(text, "timeout server "+step.runs) || placed.RolledBack.IsZero() == step.away || placed.Design == "" {
			t.Errorf("step %d: in place is %+v,\n%s", i, placed, text)
		}
	}
}

func TestOnlyALimitThatIsNotTheSlotsTakesAReload(t *testing.T) {
	options := someOptions()
	options.SlotMaxConn = 4000
	member := haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: 1, MaxConn: 4000, Admin: haproxy.Ready}
	free, moved, other, unlimited := haproxy.Server{Name: "slot-001", Admin: haproxy.Maint}, member, member, member
	moved.Port, other.MaxConn, unlimited.MaxConn = 2, 7, 0
	plane := connected(t, "http://127.0.0.1:1", options, memory(t))
	for _, c := range []struct {
		from, to haproxy.Server
		reloads  bool
	}{{free, member, false}, {member, moved, false}, {other, free, false}, {free, other, true}, {member, other, true}, {free, unlimited, true}} {
		if got := plane.limits(haproxy.Change{From: c.from, To: c.to}); got != c.reloads {
			t.Errorf("%+v becomes %+v by a reload: %v", c.from, c.to, got)
		}
	}
}

func TestALostReloadIsAskedForAgain(t *testing.T) {
	var posts []string
	text, worker := "", 42
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			posts = append(posts, r.URL.RawQuery)
			if text = string(body); len(posts) == 2 { // the first signal is lost
				worker++
			}
		case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
			answer(w, http.StatusOK, map[string]any{"_version": 7 + len(posts), "data": text})
		default:
			answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": worker}}})
		}
	}))
	defer server.Close()
	plane := connected(t, server.URL, someOptions(), filepath.Join(t.TempDir(), "api"))
	plane.patience = 50 * time.Millisecond
	if _, err := plane.Prepare(t.Context(), conformance.Free(2)); err != nil {
		t.Fatal(err)
	}
	if want := "force_reload=true&version=7 force_reload=true&version=8"; strings.Join(posts, " ") != want {
		t.Errorf("posted %q, want %q", posts, want)
	}
}
