package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/channel"
	"zatoha/server/service"
)

func constant(answer string) service.Service {
	return func(*service.Context, service.Request) (service.Response, error) {
		return service.Response{Payload: []byte(answer)}, nil
	}
}

// testServices answer with their names.
func testServices(t testing.TB, names ...string) *service.Registry {
	t.Helper()
	services := service.NewRegistry()
	for _, name := range names {
		if err := services.Add(name, constant(name)); err != nil {
			t.Fatal(err)
		}
	}
	return services
}

func written(name, method, path, service string) channel.Written {
	return channel.Written{Name: name, Text: fmt.Appendf(nil, `{"method": %q, "path": %q, "service": %q}`, method, path, service)}
}

// client keeps one connection for each goroutine that uses it.
func client(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 10 * time.Second, Transport: transport}
}

func fetch(c *http.Client, url string) (status int, body string, err error) {
	response, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// TestThousandLiveChangesUnderLoad wants every answer right while channels come, go, move and are refused.
func TestThousandLiveChangesUnderLoad(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := settings{ID: "s-1", FinishTimeout: 5 * time.Second, services: testServices(t, "one", "two")}
	defaults(&s)
	built, err := s.build(listener.Addr(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- built.front.Serve(listener) }()
	base := "http://" + listener.Addr().String()

	steady := written("steady", "GET", "/steady/{id}", "one")
	built.channels.update([]channel.Written{steady})
	var asked, wrong atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			c := client(t)
			pace := time.NewTicker(250 * time.Microsecond) // it shall not take the processors from the changes
			defer pace.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-pace.C
				status, body, err := fetch(c, fmt.Sprintf("%s/steady/%d", base, n))
				if err != nil || status != 200 || body != "one" {
					wrong.Add(1)
					t.Errorf("steady: %d %q, %v", status, body, err)
				}
				status, body, err = fetch(c, base+"/moving")
				if err != nil || (status != 200 || body != "one" && body != "two") && status != 404 {
					wrong.Add(1)
					t.Errorf("moving: %d %q, %v", status, body, err)
				}
				asked.Add(2)
			}
		})
	}
	c := client(t)
	for n := range 1000 {
		change, wantStatus, want := []channel.Written{steady}, 200, "one"
		switch n % 5 {
		case 0:
			change = append(change, written("moving", "GET", "/moving", "one"))
		case 1:
			change, want = append(change, written("moving", "GET", "/moving", "two")), "two"
		case 2: // no good: the last one stays
			change, want = append(change, written("moving", "GET", "moving", "one")), "two"
		case 3: // claims what another has
			change, want = append(change, written("moving", "GET", "/moving", "two"), written("zz", "GET", "/moving", "one")), "two"
		case 4:
			wantStatus = 404
		}
		built.channels.update(change)
		status, body, err := fetch(c, base+"/moving")
		if err != nil || status != wantStatus || status == 200 && body != want {
			t.Fatalf("after change %d: %d %q, %v; want %d %q", n, status, body, err, wantStatus, want)
		}
	}
	stop()
	load.Wait()
	t.Logf("1000 changes, %d other requests meanwhile, %d wrong answers", asked.Load(), wrong.Load())
	if err := built.front.Shutdown(5 * time.Second); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestChannelsOfTheConfigurationAndOfConsulTogether(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_PASSWORD", "hunter2")
	agent := &stubAgent{}
	s := settings{
		ID: "s-1", FinishTimeout: time.Second, services: testServices(t, "one", "two"),
		Channels: program.Document(`[
			{"name": "a", "method": "GET", "path": "/a", "service": "one"},
			{"name": "b", "method": "GET", "path": "/b", "service": "one", "security": "basic_auth", "username": "ada", "password": "${env:TEST_PASSWORD}"},
			{"name": "c", "method": "GET", "path": "/c", "service": "one", "security": "api_key", "api_key": "${file:` + key + `}"},
			{"name": "d", "method": "GET", "path": "/d", "service": "one", "is_active": false}]`),
	}
	address, stop := live(t, agent, s)
	c := client(t)
	answer := func(path string, headers ...string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			request.Header.Set(name, value)
		}
		if strings.Contains(path, "/b") {
			request.SetBasicAuth("ada", "hunter2")
		}
		response, err := c.Do(request)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return fmt.Sprintf("%d %.3s", response.StatusCode, body)
	}
	eventually(t, "serves", func() bool { return answer("/a") == "200 one" })
	for path, want := range map[string]string{"/b": "200 one", "/d": `404 {"z`, "/c": `401 {"z`, "/e": `404 {"z`} {
		if got := answer(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := answer("/c", "X-API-Key: swordfish"); got != "200 one" {
		t.Errorf("/c with its key: %s", got)
	}
	prefix := consul.ChannelsPrefix("main")
	agent.set(func() {
		agent.tree = []consul.Pair{
			{Key: prefix, Found: true},
			{Key: prefix + "a", Found: true, Value: []byte(`{"method": "GET", "path": "/a", "service": "two"}`)},
			{Key: prefix + "e", Found: true, Value: []byte(`{"method": "GET", "path": "/e", "service": "two"}`)},
			{Key: prefix + "bad", Found: true, Value: []byte(`{"method": "GET", "path": "/bad", "service": "two", "security": "api_key", "api_key": "${env:TEST_NONE}"}`)},
		}
	})
	eventually(t, "Consul's definition replaces the configuration's", func() bool { return answer("/a") == "200 two" })
	if got := answer("/e") + answer("/b") + answer("/bad"); got != `200 two200 one404 {"z` {
		t.Error(got)
	}
	eventually(t, "Consul knows the number of channels", func() bool {
		var meta map[string]string
		agent.set(func() { meta = agent.meta })
		return meta["channels"] == "4"
	})
	if got := answer("/metrics"); !strings.HasPrefix(got, "200") {
		t.Error(got)
	}
	agent.set(func() { agent.tree = nil })
	eventually(t, "the configuration's definition is back", func() bool { return answer("/a") == "200 one" })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	s := settings{services: testServices(t)}
	defaults(&s)
	s.ID = "s-1"
	built, err := s.build(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	bad := channel.Written{Name: "x", Text: []byte(`{"method": "GET", "path": "/x", "service": "demo.echo", "security": "api_key", "api_key": "${file:/nowhere/key}", "timeout": 1}`)}
	for range 3 {
		built.channels.update([]channel.Written{bad})
	}
	if got := strings.Count(log.String(), "timeout: there is no such field"); got != 1 {
		t.Errorf("logged %d times: %s", got, log.String())
	}
	bad.Text = []byte(`{"method": "GET", "path": "/x", "service": "demo.echo", "security": "api_key", "api_key": "${file:/nowhere/key}"}`)
	built.channels.update([]channel.Written{bad})
	if !strings.Contains(log.String(), "api_key: open /nowhere/key: no such file or directory") {
		t.Errorf("the log does not tell: %s", log.String())
	}
}

// A channel that asks for credentials never serves without them, whatever becomes of its secret.
func TestASecuredChannelIsNeverOpen(t *testing.T) {
	s := settings{services: testServices(t, "one")}
	defaults(&s)
	s.ID = "s-1"
	built, err := s.build(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	secured := channel.Written{Name: "x", Text: []byte(`{"method": "GET", "path": "/x", "service": "one", "security": "api_key", "api_key": "${env:TEST_KEY}"}`)}
	guarded := func() (found, guarded bool) {
		match := built.channels.router.Route("GET", "/x")
		return match.Route != nil, match.Route != nil && match.Route.Guard != nil
	}
	built.channels.update([]channel.Written{secured})
	if found, _ := guarded(); found {
		t.Error("it serves though its secret is not there")
	}
	t.Setenv("TEST_KEY", "swordfish")
	built.channels.update([]channel.Written{secured})
	if found, guarded := guarded(); !found || !guarded {
		t.Error("it does not serve with its secret there")
	}
	os.Unsetenv("TEST_KEY")
	built.channels.update([]channel.Written{secured})
	if found, guarded := guarded(); !found || !guarded {
		t.Error("the last good one has not stayed, or is open")
	}
}
