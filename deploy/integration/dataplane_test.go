package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// The load balancer drives an HAProxy that somebody else runs, through a Data Plane API: the real one where its program
// (2.9) is named by DATAPLANEAPI_BIN, and else one of ours that stands in for it, see standin_test.go.

const apiUser, apiPassword = "zatoha", "correct-horse-battery"

// foreign is an HAProxy that somebody else runs, and the Data Plane API before it.
type foreign struct {
	*cluster.Cluster // of which nothing runs; it launches what stands beside the real one
	address          string
	haproxy          *cluster.Process
	startAPI         func(t *testing.T) (kill func())
	killAPI          func()
}

// newForeign starts both, until the test ends, and gives the config the flags that name them.
func newForeign(t *testing.T, config *cluster.Config) *foreign {
	t.Helper()
	address := freeport.For(t)
	f := &foreign{Cluster: &cluster.Cluster{Config: *config}, address: address}
	password := f.write(t, "password", apiPassword+"\n")
	f.write(t, "haproxy.cfg", "# somebody else's\nglobal\n  stats socket "+f.socket()+" mode 600 level admin\n")
	f.startHAProxy(t)
	if binary := os.Getenv("DATAPLANEAPI_BIN"); binary != "" {
		f.startAPI = func(t *testing.T) func() { return f.launchAPI(t, binary) }
	} else {
		t.Log("the Data Plane API is a stand-in: name the real program (2.9) by DATAPLANEAPI_BIN to test with that")
		f.startAPI = f.standIn
	}
	f.killAPI = f.startAPI(t)
	t.Cleanup(func() { f.killAPI(); f.haproxy.Kill() })
	config.HAProxyBin = ""
	config.LBArgs = []string{
		"--dataplane-url", "http://" + f.address, "--dataplane-user", apiUser, "--dataplane-password-file", password,
		"--slots=3", "--headroom=2",
	}
	return f
}

func (f *foreign) path(name string) string { return filepath.Join(f.Dir, "foreign", name) }

func (f *foreign) socket() string { return f.path("haproxy.sock") }

func (f *foreign) write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = f.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startHAProxy starts it as its own people would, and writes down how it is reloaded.
func (f *foreign) startHAProxy(t *testing.T) {
	t.Helper()
	haproxy, err := f.Launch("foreign-haproxy", haproxyBin, "-W", "-f", f.path("haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	f.haproxy = haproxy
	f.write(t, "reload", fmt.Sprintf("kill -USR2 %d\n", haproxy.PID()))
	eventually(t, func() error {
		_, err := f.ask("show info")
		return err
	})
}

// launchAPI starts the real program.
func (f *foreign) launchAPI(t *testing.T, binary string) (kill func()) {
	t.Helper()
	users := f.write(t, "users.cfg", "userlist controller\n  user "+apiUser+" insecure-password "+apiPassword+"\n")
	host, port, _ := net.SplitHostPort(f.address)
	args := []string{
		"--scheme=http", "--host=" + host, "--port=" + port, "--haproxy-bin=" + haproxyBin, "--config-file=" + f.path("haproxy.cfg"),
		"-f", f.path("api.yaml"), "--userlist=controller", "--userlist-file=" + users,
		"--reload-cmd=/bin/sh " + f.path("reload"), "--restart-cmd=/bin/sh " + f.path("reload"), "--log-to=stdout",
	}
	for _, folder := range []string{"transaction", "backups", "maps", "ssl-certs", "general-storage", "spoe", "spoe-transaction"} {
		args = append(args, "--"+folder+"-dir="+f.path(folder))
	}
	api, err := f.Launch("dataplaneapi", binary, args...)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		response, err := http.Get("http://" + f.address + "/v2/info")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
	return api.Kill
}

// ask gives a command to HAProxy's socket, as its own people can.
func (f *foreign) ask(command string) (string, error) {
	return cluster.AskHAProxy(context.Background(), f.socket(), command)
}

// worker is the process id of the worker that answers.
func (f *foreign) worker(t *testing.T) int {
	t.Helper()
	answer, err := f.ask("show info")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := cluster.ReadWorker(answer)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

var downLine = regexp.MustCompile(`is DOWN, reason: .* (\d+) sessions active`)

// brokenOff is how many requests HAProxy has broken off, at most, as it found servers dead: it has nobody who ends their
// sessions with more care, see [haproxy.Event]. A request that it is just giving to the server is not in its own count,
// which begins when it connects, and is broken off too.
func (f *foreign) brokenOff(t *testing.T) (most int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.LogDir(), "foreign-haproxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range downLine.FindAllSubmatch(text, -1) {
		sessions, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		most += sessions + 1
	}
	return most
}

// file is haproxy.cfg on its disk.
func (f *foreign) file(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(f.path("haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withForeign is a running cluster of two servers whose HAProxy is somebody else's.
func withForeign(t *testing.T) (*cluster.Cluster, *foreign) {
	t.Helper()
	config := newConfig(t, 2)
	f := newForeign(t, &config)
	return started(t, config), f
}

func TestBehindADataPlaneAPIMembersComeAndGoWithoutAReload(t *testing.T) {
	c, f := withForeign(t)
	if s := status(t, c); s.DataPlane.Kind != "remote" || !s.DataPlane.Reachable || s.HAProxy.Master != 0 {
		t.Errorf("the status page says %+v", s)
	}
	running := underLoad(t, c)
	before := f.worker(t)
	register(t, c, "newcomer", c.Config.Servers[0])
	t.Logf("in rotation %s after it was registered", await(t, c, inRotation(3)))
	deregister(t, c, "newcomer")
	await(t, c, inRotation(2))
	c.Servers[1].Kill()
	t.Logf("out of rotation %s after the kill", await(t, c, inRotation(1)))
	if err := c.StartServer(1); err != nil {
		t.Fatal(err)
	}
	await(t, c, inRotation(2))
	if err := c.Servers[1].Stop(t.Context()); err != nil { // it asks first, and waits for the word that it is drained
		t.Fatal(err)
	}
	logs(t, c, `"message":"drained"`)
	if err := c.StartServer(1); err != nil {
		t.Fatal(err)
	}
	await(t, c, inRotation(2))
	if after := f.worker(t); after != before {
		t.Errorf("worker %d served, then %d: there was a reload", before, after)
	}

	for i := range 3 { // one more than there are slots
		register(t, c, fmt.Sprintf("copy-%d", i), c.Config.Servers[0])
	}
	t.Logf("in rotation %s after more were registered than there were slots for", await(t, c, inRotation(5)))
	if after := f.worker(t); after == before || status(t, c).Sync.Reloads["grow"] == 0 {
		t.Error("the backend grew without a reload")
	}
	errorsAtMost(t, running, f.brokenOff(t))
	if text := f.file(t); !strings.Contains(text, "# somebody else's") || strings.Count(text, "\n  server ")+strings.Count(text, "\n    server ") < 5 {
		t.Errorf("haproxy.cfg is\n%s", text)
	}
}

func TestWithoutItsDataPlaneAPIHAProxyServesOn(t *testing.T) {
	c, f := withForeign(t)
	running := underLoad(t, c)
	f.killAPI()
	t.Logf("said %s after the kill", await(t, c, func(s cluster.Status) bool {
		return !s.DataPlane.Reachable && !s.HAProxy.Running && strings.Contains(s.Summary, "is known to take traffic")
	}))
	answers(t, "http://"+c.Admin+"/zato-lb-alive", http.StatusServiceUnavailable)
	answers(t, "http://"+c.Front+"/zato-lb-alive", http.StatusOK)
	register(t, c, "newcomer", c.Config.Servers[0])
	logs(t, c, "the Data Plane API does not answer: haproxy stays as it is")
	f.killAPI = f.startAPI(t)
	t.Logf("the newcomer is in rotation %s after the API is back", await(t, c, inRotation(3)))
	noErrors(t, running)

	f.haproxy.Kill()
	await(t, c, func(s cluster.Status) bool { return s.DataPlane.Reachable && !s.HAProxy.Running })
	logs(t, c, "haproxy is not running; who runs it must start it")
	f.startHAProxy(t)
	await(t, c, func(s cluster.Status) bool { return s.HAProxy.Running && len(s.Rotation) == 3 })
	answers(t, "http://"+c.Front+"/zato/ping", http.StatusOK)

	if strings.Contains(logged(t, c), apiPassword) {
		t.Error("the password is in the log")
	}
}

// logged is what the load balancer has logged.
func logged(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.LogDir(), "lb.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func logs(t *testing.T, c *cluster.Cluster, line string) {
	t.Helper()
	eventually(t, func() error {
		if text := logged(t, c); !strings.Contains(text, line) {
			return fmt.Errorf("%q is not in the log:\n%s", line, text)
		}
		return nil
	})
}

func TestADesignIsRolledBackBehindADataPlaneAPI(t *testing.T) {
	c, f := withForeign(t)
	ours := c.LBArgs
	has := func(line string) {
		t.Helper()
		if text := f.file(t); !strings.Contains(text, line) {
			t.Errorf("%q is not in the file:\n%s", line, text)
		}
	}
	restart := func(args ...string) {
		t.Helper()
		if err := c.LB.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.LBArgs = append(append([]string{}, ours...), args...)
		if err := c.StartLB(); err != nil {
			t.Fatal(err)
		}
		await(t, c, func(s cluster.Status) bool { return s.HAProxy.Running && len(s.Rotation) == 2 })
	}
	names := ours[:6]
	running := underLoad(t, c)

	said, code := lb(t, c, "plan", append(append([]string{}, ours...), "--listen", c.Front)...)
	wants(t, said, code, 0, "http://"+f.address, "no change", "Blast radius: 0 of 2 servers that take traffic, 0 of 3 slots, no reload")
	said, code = lb(t, c, "plan", append(append([]string{}, ours...), "--listen", c.Front, "--server-timeout", "7s")...)
	wants(t, said, code, 0, "timeout server 7000ms", "a reload, which closes no connection")
	has("timeout server 30000ms")

	restart("--server-timeout=7s")
	has("timeout server 7000ms")
	said, code = lb(t, c, "rollback", "--admin", c.Admin)
	wants(t, said, code, 0, "rolled back")
	has("timeout server 30000ms")
	restart("--server-timeout=7s") // the same again is still not wanted
	has("timeout server 30000ms")
	said, code = lb(t, c, "status", "--admin", c.Admin)
	wants(t, said, code, 0, "2 of 2 servers take traffic", "through http://"+f.address)
	said, code = lb(t, c, "release", "--admin", c.Admin)
	wants(t, said, code, 1, "the guard holds nothing back")

	if err := c.LB.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, code = lb(t, c, "rollback", names...) // without a controller, and back again
	wants(t, said, code, 0, "rolled back")
	has("timeout server 7000ms")
	said, code = lb(t, c, "stop-haproxy", names...)
	wants(t, said, code, 2, "not ours to stop")
	noErrors(t, running)
}

func TestABadWayToADataPlaneAPIIsRefused(t *testing.T) {
	config := newConfig(t, 0)
	f := newForeign(t, &config)
	url, user := "--dataplane-url=http://"+f.address, "--dataplane-user="+apiUser
	password := "--dataplane-password-file=" + f.path("password")
	for name, c := range map[string]struct {
		args   []string
		status int
		want   []string
	}{
		"no password":       {[]string{url, user}, 2, []string{"--dataplane-password-file", "there is no password"}},
		"wrong user":        {[]string{url, "--dataplane-user=x", password}, 2, []string{"--dataplane-url", "401", "those of its userlist"}},
		"own file too":      {[]string{url, user, password, "--haproxy-cfg=/x"}, 2, []string{"--haproxy-cfg", "leave one of the two out"}},
		"no certificate":    {[]string{url, user, password, "--tls-listen=" + config.ConsulAddr, "--tls-cert=/no/such.pem"}, 2, []string{"/no/such.pem"}},
		"not an API at all": {[]string{"--dataplane-url=http://" + config.ConsulAddr, user, password}, 1, []string{"does not answer", "see that it runs"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--state-dir", filepath.Join(config.Dir, "lb"), "--listen", config.Front, "--admin-listen", config.Admin}, c.args...)
			said, status := runToEnd(t, filepath.Join(bin, "lb"), args...)
			wants(t, said, status, c.status, c.want...)
			if strings.Contains(said, "\n") || strings.Contains(said, apiPassword) {
				t.Errorf("it says %s", said)
			}
		})
	}
}

// deregister takes an instance out of Consul.
func deregister(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := c.Deregister(ctx, id); err != nil {
		t.Fatal(err)
	}
}
