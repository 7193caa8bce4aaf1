package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"zatoha/bench/load"
)

// TestAChannelInConsulReachesEveryServer writes a channel, moves it under load, and wants it gone again.
func TestAChannelInConsulReachesEveryServer(t *testing.T) {
	c := started(t, newConfig(t, 3))
	key := "http://" + c.ConsulAddr + "/v1/kv/zato/main/channels/echo"
	write := func(method, definition string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, key, strings.NewReader(definition))
		if err != nil {
			t.Fatal(err)
		}
		if code, text := get(t, request); code != http.StatusOK {
			t.Fatalf("%s of the key: %d %s", method, code, text)
		}
	}
	everywhere := func(path string, want int) {
		t.Helper()
		eventually(t, func() error {
			for _, server := range c.Config.Servers {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server+path, strings.NewReader(`{"a": 1}`))
				if err != nil {
					return err
				}
				if code, text := get(t, request); code != want {
					return fmt.Errorf("%s%s answers %d %s, not %d", server, path, code, text, want)
				}
			}
			return nil
		})
	}
	write(http.MethodPut, `{"method": "POST", "path": "/echo/{id}", "service": "demo.echo", "timeout_ms": 2000}`)
	everywhere("/echo/7", http.StatusOK)

	running, err := load.Start(t.Context(), load.Options{
		Addr: c.Front, Connections: 16, Templates: []load.Template{load.Post("/echo/7", []byte(`{"a": 1}`))}, Rate: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, settling)
	for n := range 10 {
		write(http.MethodPut, fmt.Sprintf(`{"method": "POST", "path": "/echo/{id}", "service": "demo.echo", "timeout_ms": %d}`, 3000+n))
	}
	write(http.MethodPut, `{"method": "POST", "path": "/echo/{id}", "service": "no.such.service"}`)
	noErrors(t, running)

	write(http.MethodDelete, "")
	everywhere("/echo/7", http.StatusNotFound)
}
