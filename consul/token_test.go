package consul

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An operator who is told of another token deletes the old one, by which the agent would go on telling Consul of checks.
func TestAnotherTokenIsToldWhenAllIsRegisteredWithIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	told, tokens := make(chan error, 100), make(chan string, 100)
	accepts, refuses := says(http.StatusOK, ""), says(http.StatusForbidden, "Permission denied")
	register := inTurn(accepts, refuses, accepts)
	agent := stub{
		"PUT /v1/agent/service/register": func(w http.ResponseWriter, r *http.Request) {
			if len(told) > 0 {
				t.Error("it was told before all was registered")
			}
			tokens <- r.Header.Get("X-Consul-Token")
			register(w, r)
		},
		"GET /v1/agent/service/w1": hangs,
	}.client(t)
	client, err := Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: path}.Client(func(err error) { told <- err })
	if err != nil {
		t.Fatal(err)
	}
	reports, stop := startKeeping(t, client)
	if err := next(t, reports); err != nil {
		t.Error(err)
	}
	write("new")
	if err := next(t, reports); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("by a token that lacks a right: %v", err)
	}
	if err := next(t, reports); err != nil {
		t.Error(err)
	}
	if err := next(t, told); err != nil {
		t.Error(err)
	}
	stop()
	close(tokens)
	var shown []string
	for token := range tokens {
		shown = append(shown, token)
	}
	if want := []string{"old", "new", "new"}; !slices.Equal(shown, want) {
		t.Errorf("registered with %q, want %q", shown, want)
	}
}
