package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// secured is a Consul datacenter of three servers by what deploy/consul ships and makes, with TLS, ACLs and encrypted
// gossip. Here all of its machines are this one.
type secured struct {
	cluster.Secrets
	*cluster.ConsulServers
}

func startSecured(t *testing.T, clients []string, more ...string) *secured {
	t.Helper()
	s := &secured{Secrets: cluster.Secrets{Program: filepath.Join(bin, "consul"), Dir: t.TempDir(), Flags: more}}
	for _, name := range clients {
		s.Flags = append(s.Flags, "--client", name+"=127.0.0.1")
	}
	flags := s.Flags
	prepare := func(servers []*cluster.ConsulServer) error {
		s.Flags = slices.Clone(flags)
		for _, server := range servers {
			s.Flags = append(s.Flags, "--server", server.Name+"="+server.Serf)
		}
		return s.makeWhatIsMissing(t.Context())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*bound)
	defer cancel()
	var err error
	s.ConsulServers, err = cluster.StartConsulServers(ctx, cluster.ConsulServersConfig{
		Binary: consulBin, Dir: t.TempDir(), Count: 3,
		Secure: &cluster.SecuredByFolder{Prepare: prepare, CA: s.CA(), Folder: s.AgentDir},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	if err := s.makeWhatIsMissing(ctx, "--acl", "https://"+s.Servers[0].HTTP); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *secured) makeWhatIsMissing(ctx context.Context, more ...string) error {
	words := s.Command(more...)
	output, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// agent starts the Consul agent of a machine.
func (s *secured) agent(t *testing.T, machine string) *cluster.ConsulServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*bound)
	defer cancel()
	agent, err := s.StartClient(ctx, machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Process().Kill)
	return agent
}

// at are the variables with which a program finds an agent and shows its token.
func (s *secured) at(t *testing.T, agent *cluster.ConsulServer) func(program string) []string {
	return func(program string) []string {
		environ, err := s.Environ(agent.Name, program)
		if err != nil {
			t.Error(err)
		}
		return append(environ, "CONSUL_HTTP_ADDR=https://"+agent.HTTP)
	}
}

// put writes a key as an operator.
func (s *secured) put(t *testing.T, agent *cluster.ConsulServer, key string, value map[string]any) {
	t.Helper()
	token, trust, err := s.Operator()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://"+agent.HTTP+"/v1/kv/zato/main/"+key, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Consul-Token", token)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}
	client := http.Client{Timeout: bound, Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", key, response.Status)
	}
}

// Each program does all of its work with its own token, which may do nothing else: see the test of deploy/consul.
func TestEverythingWorksWithASecuredConsul(t *testing.T) {
	s := startSecured(t, []string{"web-1"})
	agent := s.agent(t, "web-1")
	config := withHosts(t, newConfig(t, 2), 2)
	config.ConsulBin, config.ConsulAddr, config.Environ = "", "https://"+agent.HTTP, s.at(t, agent)
	c := started(t, config)

	address := "tcp://" + freeport.For(t)
	s.put(t, agent, "channels/send", map[string]any{"method": "POST", "path": "/send", "service": "demo.send"})
	s.put(t, agent, "connectors/ticks", map[string]any{
		"name": "ticks", "kind": "zmq", "role": "channel", "service": "demo.log", "socket_type": "PULL", "socket_method": "bind", "address": address,
	})
	s.put(t, agent, "connectors/out", map[string]any{
		"name": "out", "kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": address,
	})
	first, before := activeHost(t, c, 0, 1)
	goesThrough(t, c, "zmq", "out", "one")
	c.Hosts[first].Kill()
	t.Logf("a message goes through %s after the active host was killed", goesThrough(t, c, "zmq", "out", "two"))
	activeHost(t, c, before.Epoch, 1)

	running := underLoad(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := c.Servers[0].Stop(ctx); err != nil {
		t.Error(err)
	}
	noErrors(t, running)
	if log := text(t, filepath.Join(c.LogDir(), "server-1.log")); !strings.Contains(log, "drained by the load balancer") {
		t.Errorf("the server was not drained when it stopped: %s", log)
	}
	for _, name := range []string{"lb", "server-1", "server-2", "connectorhost-1", "connectorhost-2"} {
		if log := text(t, filepath.Join(c.LogDir(), name+".log")); strings.Contains(log, "Permission denied") {
			t.Errorf("%s lacks a right: %s", name, log)
		}
	}
	t.Run("what is wrong with a token is told", func(t *testing.T) { tokensThatDoNotDo(t, c, s, agent) })
}

func text(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func tokensThatDoNotDo(t *testing.T, c *cluster.Cluster, s *secured, agent *cluster.ConsulServer) {
	of := func(name string) string { return filepath.Join(s.Dir, agent.Name, "zatoha", name) }
	unknown := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(unknown, []byte("6ccf1e1e-0000-4000-8000-000000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"none":       {nil, []string{"no token was given", "CONSUL_HTTP_TOKEN_FILE"}},
		"another's":  {[]string{"--consul-http-token-file", of("lb.token")}, []string{"lacks permission 'service:write'", "give the token's policy this right", "deploy/consul"}},
		"unknown":    {[]string{"--consul-http-token-file", unknown}, []string{"ACL not found", "does not know the token"}},
		"no file":    {[]string{"--consul-http-token-file", "/no/such"}, []string{"server: --consul-http-token-file: open /no/such"}},
		"no CA":      {[]string{"--consul-cacert", ""}, []string{"certificate signed by unknown authority", "CONSUL_CACERT"}},
		"not by TLS": {[]string{"--consul-http-addr", agent.HTTP}, []string{"give the address with https://"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := "server-with-" + strings.ReplaceAll(name, " ", "-")
			p, err := c.Launch(log, filepath.Join(bin, "server"), append([]string{"--listen", freeport.For(t), "--drain-timeout", "0"}, test.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			eventually(t, func() error {
				said := text(t, filepath.Join(c.LogDir(), log+".log"))
				for _, part := range test.want {
					if !strings.Contains(said, part) {
						return fmt.Errorf("%q is not in: %s", part, said)
					}
				}
				return nil
			})
		})
	}
}

// A machine that is cut off, here by freezing all that runs on it, has its connectors taken over: fast with the gossip
// that is shipped for that. ROUNDS=10 repeats it, and tries Consul's default too.
func TestConnectorsLeaveADeadMachine(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("ROUNDS"))
	tunings := map[string][]string{"shipped gossip": {"--fast-gossip"}}
	if err == nil {
		tunings["default gossip"] = nil
	}
	for name, tuning := range tunings {
		t.Run(name, func(t *testing.T) {
			for range max(rounds, 1) {
				t.Logf("taken over %s after the machine died", takeoverFromADeadMachine(t, tuning))
			}
		})
	}
}

func takeoverFromADeadMachine(t *testing.T, tuning []string) (took time.Duration) {
	t.Run("round", func(t *testing.T) {
		machines := []string{"web-1", "web-2", "web-3"}
		s := startSecured(t, machines, tuning...)
		c := &cluster.Cluster{Config: withHosts(t, newConfig(t, 0), len(machines))}
		agents := make([]*cluster.ConsulServer, len(machines))
		hosts := make([]*cluster.Process, len(machines))
		for i, machine := range machines {
			agents[i] = s.agent(t, machine)
			of := func(name string) string { return filepath.Join(s.Dir, machine, "zatoha", name) }
			var err error
			hosts[i], err = c.Launch("connectorhost-"+machine, filepath.Join(bin, "connectorhost"), "--listen", c.Config.Hosts[i],
				"--consul-http-addr", "https://"+agents[i].HTTP, "--consul-cacert", of("consul-ca.pem"),
				"--consul-http-token-file", of("connectorhost.token"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(hosts[i].Kill)
		}
		var active int
		eventually(t, func() (err error) {
			active, _, err = c.ActiveHost(t.Context())
			return err
		})
		pass(t, time.Second) // the gossip of those who have just joined
		since := time.Now()
		agents[active].Process().Signal(syscall.SIGSTOP)
		hosts[active].Kill()
		eventually(t, func() error {
			now, _, err := c.ActiveHost(t.Context())
			if err == nil && now == active {
				err = errors.New("the dead one is active")
			}
			return err
		})
		took = time.Since(since)
	})
	return took
}
