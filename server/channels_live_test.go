package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
	"zatoha/deploy/freeport"
)

func TestStaleConnectorsAreRefusedByTheLockAlone(t *testing.T) {
	agent := &stubAgent{epochLock: []byte(`{"epoch": 8, "host": "b"}`)}
	const token = "0123456789abcdef"
	address, stop := live(t, agent, settings{ID: "s-1", FinishTimeout: time.Second, InvokeToken: token})
	c := client(t)
	send := func(epoch string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/zato/invoke/demo.echo", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + token}, "X-Zato-Connector": {"amqp"}, "X-Zato-Connector-Epoch": {epoch}, "X-Zato-Message-Id": {"m" + epoch},
		}
		response, err := c.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	eventually(t, "the epoch of the lock is known", func() bool { return send("7") == http.StatusConflict })
	if got := send("8"); got != 200 {
		t.Errorf("the holder gets %d", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestReadyEndsBeforePing(t *testing.T) {
	agent := &stubAgent{}
	address, stop := live(t, agent, settings{ID: "s-1", DrainTimeout: 10 * time.Second, FinishTimeout: time.Second})
	c := client(t)
	ready := func() int { status, _, _ := fetch(c, "http://"+address+"/zato/ready"); return status }
	eventually(t, "ready", func() bool { return ready() == 200 })
	eventually(t, "registered", func() bool { return strings.Contains(agent.said(), "register s-1") })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "not ready", func() bool { return ready() == 503 })
	if status, err := ping(address); status != 200 {
		t.Errorf("ping while it is drained: %d, %v", status, err)
	}
	agent.set(func() { agent.staleAck = true })
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestRealChannelsAreLive(t *testing.T) {
	agent := consultest.Start(t)
	kv, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	address := freeport.For(t)
	p := launch(t, []string{"CONSUL_HTTP_ADDR=" + agent.Address()}, "--listen", address, "--id", "s-1", "--drain-timeout", "0s")
	p.await(t, "registered in Consul")
	c := client(t)
	put := func(text string) time.Time {
		if err := kv.Put(t.Context(), "zato/main/channels/echo", []byte(text)); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	status := func(path string) int { status, _, _ := fetch(c, "http://"+address+path); return status }
	since := put(`{"method": "GET", "path": "/echo", "service": "demo.echo"}`)
	eventually(t, "a new channel", func() bool { return status("/echo") == 200 })
	t.Logf("a new channel serves %v after it was written", time.Since(since).Round(time.Millisecond))
	eventually(t, "Consul shows their number", func() bool {
		var services map[string]struct{ Meta map[string]string }
		consulState(t, agent, "/v1/agent/services", &services)
		return services["s-1"].Meta["channels"] == "1"
	})
	if got := passing(t, agent); got != 1 {
		t.Errorf("%d instances pass after the metadata was changed, want 1", got)
	}
	put(`{"method": "GET", "path": "/echo", "service": "none"}`)
	p.await(t, `this server has no such service`)
	if got := status("/echo"); got != 200 {
		t.Errorf("the last good channel answers %d", got)
	}
	if err := kv.Delete(t.Context(), "zato/main/channels/echo"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a channel that is gone", func() bool { return status("/echo") == 404 })
	terminate(t, p)
	if _, status := p.end(t); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestChannelsInTheConfigurationFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.yaml")
	text := "channels:\n  - name: a\n    method: GET\n    path: /a\n    service: demo.echo\n    timeout_ms: 2000\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeport.For(t)
	p := launch(t, []string{"CONSUL_HTTP_ADDR=" + freeport.For(t)}, "--config", file, "--listen", address)
	p.await(t, "listening")
	eventually(t, "serves", func() bool { status, _, _ := fetch(client(t), "http://"+address+"/a"); return status == 200 })
	terminate(t, p)
	if log, status := p.end(t); status != 0 {
		t.Errorf("status %d: %s", status, log)
	}
}

func TestInvocationsOnAListenerOfTheirOwn(t *testing.T) {
	public, private := freeport.For(t), freeport.For(t)
	p := launch(t, []string{"CONSUL_HTTP_ADDR=" + freeport.For(t)}, "--listen", public, "--invoke-listen", private)
	p.await(t, "listening")
	c := client(t)
	send := func(address string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/zato/invoke/demo.echo", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"X-Zato-Connector": {"amqp"}, "X-Zato-Connector-Epoch": {"1"}, "X-Zato-Message-Id": {"m"}}
		response, err := c.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	eventually(t, "connectors are served", func() bool { return send(private) == 200 })
	if got := send(public); got != 404 {
		t.Errorf("the public listener answers an invocation with %d", got)
	}
	terminate(t, p)
	if log, status := p.end(t); status != 0 {
		t.Errorf("status %d: %s", status, log)
	}
}
