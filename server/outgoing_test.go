package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"zatoha/deploy/consultest"
	"zatoha/deploy/freeport"
)

func TestServicesSendByTheActiveConnectorHost(t *testing.T) {
	var said atomic.Value
	host := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said.Store(fmt.Sprintf("%s %s %s %s %s", r.URL.Path, r.Header.Get("X-Zato-Message-ID"), r.Header.Get("X-Zato-Connector-Kind"), r.Header.Get("Authorization"), body))
	}))
	defer host.Close()
	address, portText, err := net.SplitHostPort(host.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	agent := consultest.Start(t)
	agent.Call(http.MethodPut, "/v1/agent/service/register", map[string]any{
		"ID": "host-a", "Name": "my-connectors", "Tags": []string{"active"}, "Address": address, "Port": port,
	}, nil)

	listen := freeport.For(t)
	env := []string{"CONSUL_HTTP_ADDR=" + agent.Address(), "ZATOHA_SERVER_INVOKE_TOKEN=0123456789abcdef"}
	p := launch(t, env, "--listen", listen, "--id", "s-1", "--connector-service", "my-connectors",
		"--channels", `[{"name": "send", "method": "POST", "path": "/send", "service": "demo.send"}]`)
	p.await(t, "registered in Consul")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post("http://"+listen+"/send", "application/json", strings.NewReader(`{"kind": "amqp", "name": "orders", "id": "m-1", "payload": "hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if want := "/outgoing/orders m-1 amqp Bearer 0123456789abcdef hi"; response.StatusCode != http.StatusOK || said.Load() != want {
		t.Errorf("%s, the host was told %v, want %s", response.Status, said.Load(), want)
	}
	terminate(t, p)
}
