package integration

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/cluster"
)

func TestHAProxyServesOnWithoutItsController(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *cluster.Process){
		"stopped": func(t *testing.T, lb *cluster.Process) {
			if err := lb.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(_ *testing.T, lb *cluster.Process) { lb.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			c := started(t, newConfig(t, 2))
			before := status(t, c)
			running := underLoad(t, c)
			end(t, c.LB)
			pass(t, settling)
			c.Servers[0].Kill() // HAProxy's own checks see to that
			pass(t, settling)
			if err := c.StartLB(); err != nil {
				t.Fatal(err)
			}
			await(t, c, func(s cluster.Status) bool { return s.HAProxy.Adopted })
			if err := c.StartServer(0); err != nil {
				t.Fatal(err)
			}
			await(t, c, inRotation(2))
			noErrors(t, running)
			if after := status(t, c); after.HAProxy.Worker != before.HAProxy.Worker {
				t.Errorf("haproxy's worker was %d and is %d: it was not adopted as it was", before.HAProxy.Worker, after.HAProxy.Worker)
			}
		})
	}
}

func TestAKilledHAProxyIsBackAtOnce(t *testing.T) {
	c := started(t, newConfig(t, 2))
	for _, victim := range []func(cluster.Status) int{
		func(s cluster.Status) int { return s.HAProxy.Master },
		func(s cluster.Status) int { return s.HAProxy.Worker },
	} {
		before := status(t, c)
		kill(t, victim(before))
		killed := time.Now()
		await(t, c, func(s cluster.Status) bool {
			return s.HAProxy.Restarts > before.HAProxy.Restarts && s.HAProxy.Worker != 0 && len(s.Rotation) == 2
		})
		answers(t, "http://"+c.Front+"/zato/ping", http.StatusOK)
		t.Logf("serving again %s after the kill", time.Since(killed))
	}
}

// kill ends one process, and never a group of them.
func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("%d is no process to be killed", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

func TestWithoutConsulTrafficGoesOn(t *testing.T) {
	c := started(t, newConfig(t, 3))
	running := underLoad(t, c)
	c.Consul.Kill()
	await(t, c, func(s cluster.Status) bool { return !s.Consul.Reachable })
	pass(t, 2*time.Second)
	if s := status(t, c); len(s.Rotation) != 3 {
		t.Errorf("without Consul the status page says %s", s.Summary)
	}
	if err := c.StartConsul(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("all is well %s after Consul is back, empty", await(t, c, func(s cluster.Status) bool {
		return s.Consul.Reachable && len(s.Held) == 0 && len(s.Rotation) == 3
	}))
	noErrors(t, running)
}

// Nobody registers these servers again, so the catalog stays empty.
func TestAnEmptyCatalogDoesNotEmptyThePool(t *testing.T) {
	config := newConfig(t, 3)
	c := started(t, config)
	for i, server := range c.Servers {
		server.Signal(syscall.SIGSTOP) // it cannot register again
		register(t, c, "copy-"+string(rune('a'+i)), config.Servers[i])
		defer server.Signal(syscall.SIGCONT)
	}
	for _, server := range c.Servers {
		server.Signal(syscall.SIGCONT)
	}
	await(t, c, inRotation(6))
	c.Consul.Kill()
	for _, server := range c.Servers {
		server.Signal(syscall.SIGSTOP)
	}
	if err := c.StartConsul(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, c, func(s cluster.Status) bool { return s.Consul.Reachable && len(s.Held) == 6 })
	if s := status(t, c); len(s.Slots) != 6 || !strings.Contains(s.Summary, "6 removals are held back") {
		t.Errorf("with an empty catalog the status page says %+v", s)
	}
	for _, server := range c.Servers {
		server.Signal(syscall.SIGCONT)
	}
	// The servers register again. That leaves three copies missing of six, which is not too many: they are let go.
	await(t, c, func(s cluster.Status) bool { return len(s.Rotation) == 3 && len(s.Slots) == 3 && len(s.Held) == 0 })
}

func TestAStartWithoutConsulServesTheLastServers(t *testing.T) {
	c := started(t, newConfig(t, 2))
	c.LB.Kill()
	if err := c.StopHAProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Consul.Kill()
	if err := c.StartLB(); err != nil {
		t.Fatal(err)
	}
	t.Logf("serving %s after its start", await(t, c, func(s cluster.Status) bool { return len(s.Rotation) == 2 && !s.Consul.Reachable }))
	answers(t, "http://"+c.Front+"/zato/ping", http.StatusOK)
	if tail := c.LB.LogTail(); !strings.Contains(tail, "consul does not answer") {
		t.Errorf("its log does not say so: %s", tail)
	}
	if err := c.StartConsul(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, c, func(s cluster.Status) bool { return s.Consul.Reachable && len(s.Held) == 0 && len(s.Rotation) == 2 })
}

func TestWhatSomebodyWritesIntoHAProxyCfgStays(t *testing.T) {
	config := newConfig(t, 2)
	c := started(t, config)
	text, err := os.ReadFile(c.HAProxyCfg())
	if err != nil {
		t.Fatal(err)
	}
	mine := "\t# mine, not yours\n\thttp-response set-header X-Mine yes\n"
	edited := strings.Replace(string(text), "    default_backend", mine+"    default_backend", 1)
	if err := os.WriteFile(c.HAProxyCfg(), []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Servers[0].Kill()
	await(t, c, inRotation(1))
	c.LB.Kill()
	if err := c.StopHAProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.StartLB(); err != nil {
		t.Fatal(err)
	}
	await(t, c, inRotation(1))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Front+"/zato/ping", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("X-Mine"); got != "yes" {
		t.Errorf("X-Mine is %q", got)
	}
	if text, err = os.ReadFile(c.HAProxyCfg()); err != nil || !strings.Contains(string(text), mine) {
		t.Errorf("the operator's lines are gone: %v\n%s", err, text)
	}
}
