package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/bench/load"
	"zatoha/deploy/cluster"
)

func TestRequestsAreSpreadEvenly(t *testing.T) {
	c := started(t, newConfig(t, 3))
	before := requests(status(t, c))
	report, err := load.Run(t.Context(), load.Options{
		Addr: c.Front, Connections: 50, Templates: []load.Template{load.Get("/zato/ping")}, Requests: 6000,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if report.Errors() > 0 {
		t.Errorf("%d of %d requests failed", report.Errors(), report.Requests)
	}
	for instance, n := range requests(status(t, c)) {
		n -= before[instance]
		t.Logf("%s answered %d", instance, n)
		if n < 1800 || n > 2200 {
			t.Errorf("%s answered %d of 6000, not within 10 %% of a third", instance, n)
		}
	}
}

func requests(s cluster.Status) map[string]int {
	count := map[string]int{}
	for _, slot := range s.Slots {
		count[slot.Instance] = slot.Requests
	}
	return count
}

func TestAKilledServerLeavesRotationAndReturnsWithoutAReload(t *testing.T) {
	c := started(t, newConfig(t, 3))
	before := status(t, c)
	running := underLoad(t, c)

	c.Servers[1].Kill()
	t.Logf("out of rotation %s after the kill", await(t, c, inRotation(2)))
	pass(t, settling)
	if err := c.StartServer(1); err != nil {
		t.Fatal(err)
	}
	answers(t, "http://"+c.Config.Servers[1]+"/zato/ping", http.StatusOK)
	t.Logf("in rotation %s after it is healthy", await(t, c, inRotation(3)))

	noErrors(t, running)
	after := status(t, c)
	if after.HAProxy.Worker != before.HAProxy.Worker {
		t.Errorf("haproxy's worker was %d and is %d: it was reloaded", before.HAProxy.Worker, after.HAProxy.Worker)
	}
	for i, slot := range after.Slots {
		if slot.Instance != before.Slots[i].Instance {
			t.Errorf("%s held %s and holds %s", slot.Slot, before.Slots[i].Instance, slot.Instance)
		}
	}
}

func TestAHungServerLeavesRotation(t *testing.T) {
	c := started(t, newConfig(t, 3))
	running := underLoad(t, c)
	c.Servers[0].Signal(syscall.SIGSTOP)
	t.Logf("out of rotation %s after it hung", await(t, c, inRotation(2)))
	pass(t, settling)
	c.Servers[0].Signal(syscall.SIGCONT)
	t.Logf("in rotation %s after it went on", await(t, c, inRotation(3)))
	noErrors(t, running)
}

func TestAServerThatStopsCleanlyCostsNothing(t *testing.T) {
	c := started(t, newConfig(t, 3))
	running := underLoad(t, c)
	for i := range c.Servers {
		began := time.Now()
		if err := c.Servers[i].Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		stopped := time.Since(began)
		if c.Servers[i].Status() != 0 {
			t.Errorf("server-%d ended with %s", i+1, c.Servers[i].Ended())
		}
		await(t, c, inRotation(2))
		if err := c.StartServer(i); err != nil {
			t.Fatal(err)
		}
		t.Logf("server-%d stopped in %s and is back in rotation %s after its start", i+1, stopped, await(t, c, inRotation(3)))
	}
	noErrors(t, running)
	if strings.Contains(c.Servers[0].LogTail(), "without being drained") {
		t.Error("the load balancer did not acknowledge the drain")
	}
}

func TestTheMonitorTellsWhenNobodyIsLeft(t *testing.T) {
	c := started(t, newConfig(t, 2))
	alive, deep := "http://"+c.Front+"/zato-lb-alive", "http://"+c.Admin+"/zato-lb-alive"
	answers(t, alive, http.StatusOK)
	answers(t, deep, http.StatusOK)
	for _, server := range c.Servers {
		server.Kill()
	}
	t.Logf("503 %s after the last server was killed", answers(t, alive, http.StatusServiceUnavailable))
	answers(t, deep, http.StatusServiceUnavailable)
	if err := c.StartServer(0); err != nil {
		t.Fatal(err)
	}
	t.Logf("200 %s after one was started", answers(t, alive, http.StatusOK))
	answers(t, deep, http.StatusOK)
}

func TestThePoolGrowsUnderLoadWithoutAnError(t *testing.T) {
	config := newConfig(t, 4)
	config.LBArgs = []string{"--slots=2", "--headroom=1"}
	c := started(t, config)
	running := underLoad(t, c)
	register(t, c, "late-1", c.Config.Servers[0])
	await(t, c, inRotation(5))
	before := status(t, c)
	register(t, c, "late-2", c.Config.Servers[1])
	await(t, c, inRotation(6))
	noErrors(t, running)
	if after := status(t, c); after.HAProxy.Worker == before.HAProxy.Worker {
		t.Error("six servers in five slots, and no reload")
	}
}

func TestWhoeverRegistersIsBalanced(t *testing.T) {
	c := started(t, newConfig(t, 1))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hello" {
			http.NotFound(w, r) // it knows nothing of /zato/ping
			return
		}
		fmt.Fprintf(w, "hello %s over %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	}))
	defer server.Close()
	register(t, c, "stranger", server.Listener.Addr().String())
	await(t, c, inRotation(2))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Front+"/hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "6.6.6.6")
	for range 4 { // it has every second one
		if _, body := get(t, request); body == "hello 127.0.0.1 over http" {
			return
		}
	}
	t.Error("it got none of four requests")
}

func TestAnAddressThatIsACommandIsRefused(t *testing.T) {
	c := started(t, newConfig(t, 1))
	registerAt(t, c, "evil", "::1%x;disable frontend front_http_plain;#", "17999")
	await(t, c, func(s cluster.Status) bool { return strings.Contains(s.Summary, "1 instance cannot be balanced") })
	answers(t, "http://"+c.Front+"/zato/ping", http.StatusOK)
	if s := status(t, c); len(s.Slots) != 1 || s.Sync.Error != "" {
		t.Errorf("the status page says %+v", s)
	}
}

// register registers an instance as any program can, by one PUT to Consul's API. It has no check.
func register(t *testing.T, c *cluster.Cluster, id, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	registerAt(t, c, id, host, port)
}

func registerAt(t *testing.T, c *cluster.Cluster, id, host, port string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"ID": id, "Name": "zato-server", "Address": host, "Port": json.Number(port)})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + c.ConsulAddr + "/v1/agent/service/register"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, request); code != http.StatusOK {
		t.Fatalf("registering %s: %d %s", id, code, text)
	}
}

// answers waits until the URL answers with the status and says how long that took.
func answers(t *testing.T, url string, want int) time.Duration {
	t.Helper()
	since := time.Now()
	eventually(t, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != want {
			return fmt.Errorf("%s answers %s, not %d", url, response.Status, want)
		}
		return nil
	})
	return time.Since(since)
}

var client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func get(t *testing.T, request *http.Request) (code int, body string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
