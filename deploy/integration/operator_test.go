package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"zatoha/deploy/cluster"
)

// lb runs a command of the load balancer's program, beside the load balancer of the cluster.
func lb(t *testing.T, c *cluster.Cluster, command string, args ...string) (said string, status int) {
	t.Helper()
	t.Setenv("CONSUL_HTTP_ADDR", c.ConsulAddr)
	args = append([]string{command, "--state-dir", filepath.Dir(c.HAProxyCfg())}, args...)
	return runToEnd(t, filepath.Join(bin, "lb"), args...)
}

func wants(t *testing.T, said string, status int, wantStatus int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("it does not say %q:\n%s", text, said)
		}
	}
	if status != wantStatus {
		t.Errorf("exit status %d, not %d:\n%s", status, wantStatus, said)
	}
}

func TestThePlanShowsWhatAStartWouldChange(t *testing.T) {
	c := started(t, newConfig(t, 2))
	before, err := os.ReadFile(c.HAProxyCfg())
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--haproxy-bin", haproxyBin, "--listen", c.Front}
	said, code := lb(t, c, "plan", flags...)
	wants(t, said, code, 0, "no change", "Blast radius: 0 of 2 servers that take traffic, 0 of 10 slots, no reload")

	said, code = lb(t, c, "plan", append(flags, "--server-timeout", "7s")...)
	wants(t, said, code, 0, "+    timeout server 7000ms", "-    timeout server 30000ms", "a reload, which closes no connection")

	c.LB.Kill()
	c.Servers[0].Kill()
	register(t, c, "newcomer", c.Config.Servers[0])
	said, code = lb(t, c, "plan", flags...)
	wants(t, said, code, 0, "slot-003 fill: nobody -> newcomer", "1 of 10 slots, no reload")

	c.Consul.Kill()
	said, code = lb(t, c, "plan", flags...)
	wants(t, said, code, 0, "Consul cannot be asked, so the servers would stay as they are")
	if after, err := os.ReadFile(c.HAProxyCfg()); err != nil || string(after) != string(before) {
		t.Errorf("planning changed the file: %v\n%s", err, after)
	}
}

func TestADesignIsRolledBack(t *testing.T) {
	c := started(t, newConfig(t, 2))
	restart := func(args ...string) {
		t.Helper()
		if err := c.LB.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.LBArgs = args
		if err := c.StartLB(); err != nil {
			t.Fatal(err)
		}
		await(t, c, func(s cluster.Status) bool { return s.HAProxy.Worker != 0 && len(s.Rotation) == 2 })
	}
	has := func(line string) {
		t.Helper()
		text, err := os.ReadFile(c.HAProxyCfg())
		if err != nil || !strings.Contains(string(text), line) {
			t.Errorf("%q is not in the file: %v\n%s", line, err, text)
		}
	}
	running := underLoad(t, c)
	restart("--server-timeout=7s")
	has("timeout server 7000ms")
	said, code := lb(t, c, "rollback", "--admin", c.Admin)
	wants(t, said, code, 0, "rolled back")
	has("timeout server 30000ms")
	restart("--server-timeout=7s") // the same again is still not wanted
	has("timeout server 30000ms")
	told := []string{"rolled back", "lb is started with other flags"}
	said, code = lb(t, c, "status", "--admin", c.Admin)
	wants(t, said, code, 0, told...)
	wants(t, logged(t, c), 0, 0, append(told, "the settings of haproxy are not in effect")...)
	said, code = lb(t, c, "plan", "--haproxy-bin", haproxyBin, "--listen", c.Front, "--server-timeout=7s")
	wants(t, said, code, 0, append(told, "no reload")...)
	if err := c.LB.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, code = lb(t, c, "rollback", "--haproxy-bin", haproxyBin) // without a controller, and back again
	wants(t, said, code, 0, "rolled back")
	has("timeout server 7000ms")
	said, code = lb(t, c, "rollback", "--haproxy-bin", haproxyBin)
	wants(t, said, code, 0, "rolled back")
	restart("--server-timeout=8s")
	has("timeout server 8000ms")
	restart("--server-timeout=7s") // after another design, the one that was rolled back is wanted again
	has("timeout server 7000ms")
	noErrors(t, running)
}

func TestAnOperatorReleasesWhatTheGuardHolds(t *testing.T) {
	c := started(t, newConfig(t, 3))
	said, code := lb(t, c, "release", "--admin", c.Admin)
	wants(t, said, code, 1, "the guard holds nothing back")
	for _, server := range c.Servers {
		server.Signal(syscall.SIGSTOP) // none can register again
		defer server.Signal(syscall.SIGCONT)
	}
	c.Consul.Kill()
	if err := c.StartConsul(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, c, func(s cluster.Status) bool { return len(s.Held) == 3 })
	said, code = lb(t, c, "release", "--admin", c.Admin)
	wants(t, said, code, 0, "let through: slot-001 free", "let through: slot-003 free")
	await(t, c, func(s cluster.Status) bool { return len(s.Held) == 0 && len(s.Slots) == 0 })

	c.LB.Kill()
	said, code = lb(t, c, "release", "--admin", c.Admin)
	wants(t, said, code, 1, "no controller answers at "+c.Admin)
}
