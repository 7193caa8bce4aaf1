package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zatoha/deploy/cluster"
)

// TestAnAdoptedHAProxyKeepsItsWeightsAndDrains kills the controller, and starts it again when Consul, which could tell it
// how the servers are to be, is away too.
func TestAnAdoptedHAProxyKeepsItsWeightsAndDrains(t *testing.T) {
	c := started(t, newConfig(t, 2))
	heavy := cluster.Registration{ID: "heavy", Service: "zato-server", Address: c.Config.Servers[0], Weight: 3}
	if err := c.Register(t.Context(), heavy); err != nil {
		t.Fatal(err)
	}
	register(t, c, "resting", c.Config.Servers[1])
	await(t, c, inRotation(4))
	maintenance(t, c, "resting")
	await(t, c, inRotation(3))
	before := serverStates(t, c)
	if text := fmt.Sprint(before); !strings.Contains(text, " drain weight 1") || !strings.Contains(text, " ready weight 3") {
		t.Fatalf("haproxy's servers are %s", text)
	}

	c.Consul.Kill()
	c.LB.Kill()
	if err := c.StartLB(); err != nil {
		t.Fatal(err)
	}
	await(t, c, func(s cluster.Status) bool {
		return s.HAProxy.Adopted && !s.Consul.Reachable && len(s.Rotation) == 3 && s.Sync.AgeMS > 0 && s.Sync.Error == ""
	})
	if after := serverStates(t, c); !slices.Equal(after, before) {
		t.Errorf("haproxy's servers were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// maintenance takes an instance out of rotation as an operator does: consul maint -enable -service=ID.
func maintenance(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	url := "http://" + c.ConsulAddr + "/v1/agent/service/maintenance/" + id + "?enable=true"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, request); code != http.StatusOK {
		t.Fatalf("maintenance of %s: %d %s", id, code, text)
	}
}

// serverStates are address, administrative state and weight of the servers that HAProxy runs, by HAProxy's own word.
func serverStates(t *testing.T, c *cluster.Cluster) (all []string) {
	t.Helper()
	const name, address, admin, weight, port, columns = 3, 4, 6, 7, 18, 19
	const byFile = 0x04 // that the file, from which HAProxy started, had it disabled; it says nothing of now
	states := map[int]string{0: "ready", 1: "maint", 8: "drain"}
	answer, err := c.Runtime(t.Context(), "show servers state bck_http_plain")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(answer, "\n") {
		fields := strings.Fields(line)
		if len(fields) < columns || strings.HasPrefix(line, "#") {
			continue
		}
		bits, err := strconv.Atoi(fields[admin])
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, fmt.Sprintf("%s %s:%s %s weight %s", fields[name], fields[address], fields[port], states[bits&^byFile], fields[weight]))
	}
	return all
}
