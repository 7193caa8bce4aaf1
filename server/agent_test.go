package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
	"zatoha/deploy/freeport"
)

// consulState asks the agent for what it answers at an API path, by plain HTTP.
func consulState(t *testing.T, agent *consultest.Agent, path string, into any) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + agent.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// passing counts the instances that Consul would send traffic to.
func passing(t *testing.T, agent *consultest.Agent) int {
	t.Helper()
	var entries []json.RawMessage
	consulState(t, agent, "/v1/health/service/zato-server?passing", &entries)
	return len(entries)
}

func TestWithARealConsul(t *testing.T) {
	agent := consultest.Start(t)
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	address := freeport.For(t)
	env := []string{"CONSUL_HTTP_ADDR=" + agent.Address()}
	args := []string{"--listen", address, "--id", "s-1", "--drain-timeout", "30s", "--deregister-after", "1m"}
	inRotation := func() bool { return passing(t, agent) == 1 }
	maintained := func() bool {
		var checks map[string]struct{ Notes string }
		consulState(t, agent, "/v1/agent/checks", &checks)
		return checks["_service_maintenance:s-1"].Notes == stopReason
	}

	t.Log("it takes traffic as soon as it is registered")
	first := launch(t, env, args...)
	first.await(t, "registered in Consul")
	eventually(t, "in rotation", inRotation)

	t.Log("killed while it was leaving, and started again, it is back in rotation")
	terminate(t, first)
	eventually(t, "in maintenance", maintained)
	if status, err := ping(address); status != http.StatusOK {
		t.Errorf("while leaving: status %d, %v", status, err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end(t)
	second := launch(t, env, args...)
	second.await(t, "registered in Consul")
	registered := time.Now()
	eventually(t, "back in rotation", inRotation)
	t.Logf("in rotation %v after it was registered again", time.Since(registered).Round(time.Millisecond))

	t.Log("killed and found dead by its check, and started again, it is back in rotation at once")
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second.end(t)
	eventually(t, "out of rotation", func() bool { return passing(t, agent) == 0 })
	third := launch(t, env, args...)
	third.await(t, "registered in Consul")
	registered = time.Now()
	eventually(t, "back in rotation", inRotation)
	t.Logf("in rotation %v after it was registered again", time.Since(registered).Round(time.Millisecond))

	t.Log("acknowledged, it ends and leaves nothing behind")
	terminate(t, third)
	eventually(t, "in maintenance", maintained)
	if err := client.Put(t.Context(), "zato/main/drained/s-1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if log, status := third.end(t); status != 0 || !strings.Contains(log, "drained by the load balancer") {
		t.Errorf("status %d:\n%s", status, log)
	}
	var services, checks map[string]json.RawMessage
	consulState(t, agent, "/v1/agent/services", &services)
	consulState(t, agent, "/v1/agent/checks", &checks)
	if len(services)+len(checks) != 0 {
		t.Errorf("left behind: %s %s", fmt.Sprint(services), fmt.Sprint(checks))
	}
}

func TestRealMaintenanceByAnOperatorStays(t *testing.T) {
	agent := consultest.Start(t)
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSUL_HTTP_ADDR=" + agent.Address()}
	args := []string{"--listen", freeport.For(t), "--id", "s-1", "--drain-timeout", "0s"}
	first := launch(t, env, args...)
	first.await(t, "registered in Consul")
	if err := client.SetMaintenance(t.Context(), "s-1", true, "new disk"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "out of rotation", func() bool { return passing(t, agent) == 0 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end(t)
	second := launch(t, env, args...)
	if log := second.await(t, "registered in Consul"); !strings.Contains(log, "new disk") {
		t.Errorf("the log does not tell of the maintenance:\n%s", log)
	}
	if passing(t, agent) != 0 {
		t.Error("the operator's maintenance is gone")
	}
	terminate(t, second)
	if _, status := second.end(t); status != 0 {
		t.Errorf("status %d", status)
	}
}
