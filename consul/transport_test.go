package consul

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestOnlyWhatBlocksHasAConnectionOfItsOwn(t *testing.T) {
	var connections atomic.Int64
	agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		_, _ = w.Write([]byte(map[string]string{http.MethodPut: "true", http.MethodGet: "[]"}[r.Method]))
	}))
	agent.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	agent.Start()
	defer agent.Close()
	for what, c := range map[string]struct {
		call func(*Client) error
		want int64 // connections for five calls
	}{
		"writes":             {func(client *Client) error { return client.Put(t.Context(), "a", nil) }, 1},
		"reads":              {func(client *Client) error { _, _, err := client.tree(t.Context(), "a/", 0); return err }, 1},
		"queries that block": {func(client *Client) error { _, _, err := client.tree(t.Context(), "a/", 6); return err }, 5},
	} {
		client, err := New(agent.URL)
		if err != nil {
			t.Fatal(err)
		}
		before := connections.Load()
		for range 5 {
			if err := c.call(client); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if got := connections.Load() - before; got != c.want {
			t.Errorf("five %s took %d connections, want %d", what, got, c.want)
		}
	}
}
