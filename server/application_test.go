package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/deploy/freeport"
	"zatoha/deploy/program"
	"zatoha/server/service"
)

func TestAServerIsAsWellAsTheApplicationBehindIt(t *testing.T) {
	var status atomic.Int32
	status.Store(503)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/well" {
			w.WriteHeader(int(status.Load()))
		}
	}))
	t.Cleanup(application.Close)
	address, stop := live(t, &stubAgent{}, settings{ProxyUpstream: application.URL, ProxyHealthPath: "/well", FinishTimeout: time.Second})
	answers := func(want int) func() bool {
		return func() bool { got, err := ping(address); return err == nil && got == want }
	}
	eventually(t, "the server is ill", answers(503))
	status.Store(200)
	eventually(t, "the server is well", answers(200))
	response, err := http.Get("http://" + address + "/anything")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("X-Zato-CID") == "" {
		t.Errorf("%v", response)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A channel whose service is proxy leads to the application, with the channel's credentials, methods and path.
func TestAChannelMayLeadToTheApplication(t *testing.T) {
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s key=%q", r.Method, r.URL, body, r.Header.Get("X-API-Key"))
	}))
	t.Cleanup(application.Close)
	channels := program.Document(`[{"name": "shop", "method": "PUT", "path": "/shop/{rest...}", "service": "proxy", "security": "api_key", "api_key": "swordfish", "data_format": "raw"}]`)
	address, stop := live(t, &stubAgent{}, settings{ProxyUpstream: application.URL, Channels: channels, FinishTimeout: time.Second})
	eventually(t, "it serves", func() bool { got, err := ping(address); return err == nil && got == 200 })
	for _, c := range []struct {
		method, key string
		status      int
		body        string
	}{
		{"PUT", "swordfish", 200, `PUT /shop/a/b?c=1 hi key="swordfish"`},
		{"PUT", "trout", 401, `"result": "ZATO_ERROR"`},
		{"POST", "swordfish", 405, `"result": "ZATO_ERROR"`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+address+"/shop/a/b?c=1", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-API-Key", c.key)
		response, err := client(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.body) || response.Header.Get("X-Zato-CID") == "" {
			t.Errorf("%s with %s: %s %s, %v", c.method, c.key, response.Status, body, err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestBadProxySettingsAreRefused(t *testing.T) {
	p := launch(t, nil, "--proxy-upstream", "127.0.0.1", "--listen", freeport.For(t))
	if log, status := p.end(t); status != 2 || !strings.Contains(log, "--proxy-upstream") || !strings.Contains(log, "give a base URL") {
		t.Errorf("status %d: %s", status, log)
	}
	p = launch(t, nil, "--proxy-health-path", "/x")
	if log, status := p.end(t); status != 2 || !strings.Contains(log, "--proxy-health-path: needs --proxy-upstream") {
		t.Errorf("status %d: %s", status, log)
	}
}

func TestForwardingIsPartOfWhatAServerPublishes(t *testing.T) {
	plain, forwarding := service.NewRegistry(), service.NewRegistry()
	for registry, s := range map[*service.Registry]*settings{plain: {}, forwarding: {ProxyUpstream: "http://127.0.0.1:1"}} {
		s.services = registry
		p, err := s.application(prometheus.NewRegistry(), zerolog.Nop())
		if err != nil || (p != nil) != (s.ProxyUpstream != "") {
			t.Fatal(p, err)
		}
		if p != nil {
			p.Close()
		}
	}
	if plain.Hash() == forwarding.Hash() || plain.Hash() != service.NewRegistry().Hash() {
		t.Errorf("%s without an application, %s with one", plain.Hash(), forwarding.Hash())
	}
	proxy, _ := forwarding.Lookup(proxyService)
	if _, err := proxy(service.NewContext(t.Context(), service.Call{}), service.Request{}); err == nil {
		t.Error("the application was called as a service")
	}
}
