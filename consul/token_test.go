package consul

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tokenFile is where a token is, and how it is exchanged.
func tokenFile(t *testing.T) (path string, write func(token string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "token")
	return path, func(token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// refusedAfterExchange keeps an instance registered by a token in a file, and exchanges that for one that is refused.
func refusedAfterExchange(t *testing.T, agent *Client, told chan<- error) (client *Client, reports <-chan error, stop func()) {
	t.Helper()
	path, write := tokenFile(t)
	write("old")
	client, err := Settings{ConsulHTTPAddr: agent.Address(), ConsulHTTPTokenFile: path}.Client(func(err error) { told <- err })
	if err != nil {
		t.Fatal(err)
	}
	reports, stop = startKeeping(t, client)
	if err := next(t, reports); err != nil {
		t.Error(err)
	}
	write("new")
	if err := next(t, reports); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("by a token that lacks a right: %v", err)
	}
	return client, reports, stop
}

// An operator who is told of another token deletes the old one, by which the agent would go on telling Consul of checks.
func TestAnotherTokenIsToldWhenAllIsRegisteredWithIt(t *testing.T) {
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
	_, reports, stop := refusedAfterExchange(t, agent, told)
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

// A server whose metadata change ends to keep its instance and begins anew. Meanwhile the agent goes on by the old token.
func TestAnotherTokenIsNotToldBetweenTwoWhoKeepAnInstance(t *testing.T) {
	told := make(chan error, 100)
	var allowed atomic.Bool
	agent := stub{
		"PUT /v1/agent/service/register": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Consul-Token") == "new" && !allowed.Load() {
				http.Error(w, "Permission denied", http.StatusForbidden)
			}
		},
		"GET /v1/agent/service/w1":            hangs,
		"PUT /v1/agent/service/deregister/w1": says(http.StatusOK, ""),
	}.client(t)
	client, _, stop := refusedAfterExchange(t, agent, told)
	stop()
	if len(told) > 0 {
		t.Error("it was told while the agent had the instance by the old token")
	}
	allowed.Store(true)
	reports, stop := startKeeping(t, client)
	if err := next(t, reports); err != nil {
		t.Error(err)
	}
	if err := next(t, told); err != nil {
		t.Error(err)
	}
	stop()
	if err := client.Deregister(t.Context(), "w1"); err != nil || len(client.token.by) > 0 {
		t.Errorf("%v, waits for %q, which is deregistered", err, client.token.by)
	}
}

func TestAnotherTokenIsToldWhenNothingIsRegisteredByTheOldOne(t *testing.T) {
	path, write := tokenFile(t)
	write("a")
	synctest.Test(t, func(t *testing.T) {
		told := 0
		token, err := keepToken(path, func(err error) {
			told++
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		exchange := func(text string) func() {
			return func() {
				write(text)
				time.Sleep(2 * time.Second)
				token.now()
			}
		}
		for _, step := range []struct {
			what string
			do   func()
			told int
		}{
			{"exchanged where nothing is registered", exchange("b"), 1},
			{"registered", func() { token.registered("w1", "b"); token.registered("w2", "b") }, 1},
			{"exchanged", exchange("c"), 1},
			{"one is registered again", func() { token.registered("w1", "c") }, 1},
			{"the other is deregistered", func() { token.left("w2") }, 2},
			{"that one too", func() { token.left("w1") }, 2},
			{"exchanged again", exchange("d"), 3},
		} {
			if step.do(); told != step.told {
				t.Errorf("%s: told %d times, want %d", step.what, told, step.told)
			}
		}
	})
}
