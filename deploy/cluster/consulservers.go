package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"zatoha/deploy/freeport"
)

// ConsulServers are the servers of one Consul datacenter, each a process of its own with ports of its own on the
// loopback address. Unlike [StartConsul]'s, they keep their state on disk and time their elections as in production.
// They belong to one goroutine.
type ConsulServers struct {
	Servers []*ConsulServer

	config ConsulServersConfig
}

// ConsulServersConfig says where the servers come from and where they keep their state and logs.
type ConsulServersConfig struct {
	Binary  string
	Dir     string
	Count   int              // an odd number; two of three, or three of five, are a quorum
	AsUnits bool             // they have the priority of Consul's unit; see [AsUnit]
	Secure  *SecuredByFolder // nil: no TLS, no ACLs, no encryption
}

// SecuredByFolder has agents take everything but their ports from a folder of configuration. Their API is by HTTPS then.
type SecuredByFolder struct {
	// Prepare makes the folders, once it is known where the servers will listen.
	Prepare func(servers []*ConsulServer) error
	Folder  func(name string) string // of an agent
	CA      string                   // file with the certificate of their authority
}

// ConsulServer is one of them, or an agent that has joined them as a client.
type ConsulServer struct {
	Name string // its node
	HTTP string // address of its API
	Serf string // address by which other agents join it
	RPC  string // address by which the servers know the leader

	dir     string
	log     string
	process *Process // the last one started, which may have ended
}

// Running says whether the server's process is there; one that is stopped by SIGSTOP is.
func (s *ConsulServer) Running() bool { return s.process != nil && !s.process.HasEnded() }

// Process is the last process of the server, nil before the first.
func (s *ConsulServer) Process() *Process { return s.process }

// StartConsulServers starts the servers at the same time, at free ports, and returns when they have a leader: with
// raft_multiplier 1 that takes two to three seconds. If that fails, what was started is killed.
func StartConsulServers(ctx context.Context, config ConsulServersConfig) (*ConsulServers, error) {
	for {
		all, err := tryConsulServers(ctx, config)
		// One of the ports that were free may be taken before a server gets to it.
		if err == nil || !strings.Contains(err.Error(), "address already in use") || ctx.Err() != nil {
			return all, err
		}
	}
}

func tryConsulServers(ctx context.Context, config ConsulServersConfig) (*ConsulServers, error) {
	var names []string
	for i := range config.Count {
		names = append(names, fmt.Sprintf("consul-%d", i+1))
	}
	servers, err := agentsAtFreePorts(config.Dir, names...)
	if err != nil {
		return nil, err
	}
	all := &ConsulServers{config: config, Servers: servers}
	if config.Secure != nil {
		if err := config.Secure.Prepare(servers); err != nil {
			return nil, err
		}
	}
	for i := range all.Servers {
		if err = all.Start(i); err != nil {
			break
		}
	}
	if err == nil {
		_, err = all.AwaitLeader(ctx)
	}
	if err != nil {
		all.Kill()
		return nil, err
	}
	return all, nil
}

func agentsAtFreePorts(dir string, names ...string) (all []*ConsulServer, err error) {
	const each = 3
	ports, err := freeport.Some(each * len(names))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		address := func(kind int) string {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[each*i+kind]))
		}
		at := filepath.Join(dir, name)
		all = append(all, &ConsulServer{
			Name: name, HTTP: address(0), Serf: address(1), RPC: address(2), dir: at, log: filepath.Join(at, "consul.log"),
		})
	}
	return all, nil
}

// Start starts a server that does not run, at the ports and with the state that it had, and does not wait for it.
func (c *ConsulServers) Start(i int) error {
	role := []string{"-server", "-bootstrap-expect=" + strconv.Itoa(c.config.Count), "-ui"}
	return c.run(c.Servers[i], append(role, "-hcl=performance { raft_multiplier = 1 }")...)
}

// StartClient starts an agent that is no server, as each machine of our programs has one, and returns when it has joined
// the servers. Whoever starts it stops it; if we die, it is killed.
func (c *ConsulServers) StartClient(ctx context.Context, name string) (*ConsulServer, error) {
	agents, err := agentsAtFreePorts(c.config.Dir, name)
	if err != nil {
		return nil, err
	}
	return agents[0], c.join(ctx, agents[0])
}

// join starts an agent that is no server, and returns when it knows the leader. When it is stopped it does not leave, as
// in deploy/consul/agent: its services stay registered.
func (c *ConsulServers) join(ctx context.Context, agent *ConsulServer) error {
	if err := c.run(agent, "-hcl=leave_on_terminate = false"); err != nil {
		return err
	}
	err := agent.process.Await(ctx, func(ctx context.Context) error {
		leader, err := c.leaderBy(ctx, agent)
		if err == nil && leader == "" {
			err = errNoConsulLeader
		}
		return err
	})
	if err != nil {
		agent.process.Kill()
	}
	return err
}

// run starts the process of an agent. What is said of its role holds only where no folder says it.
func (c *ConsulServers) run(s *ConsulServer, role ...string) (err error) {
	if s.Running() {
		return fmt.Errorf("%s runs already, as pid %d", s.Name, s.process.PID())
	}
	api := "-http-port="
	from := append(role, "-node="+s.Name, "-bind=127.0.0.1", "-client=127.0.0.1", "-hcl=disable_update_check = true")
	if secure := c.config.Secure; secure != nil {
		api, from = "-https-port=", []string{"-config-dir=" + secure.Folder(s.Name)}
	} else {
		for _, other := range c.Servers {
			if other != s {
				from = append(from, "-retry-join="+other.Serf)
			}
		}
	}
	args := slices.Concat([]string{"agent", "-data-dir=" + filepath.Join(s.dir, "data"), "-log-level=warn", "-retry-interval=200ms"}, from, []string{
		api + port(s.HTTP), "-serf-lan-port=" + port(s.Serf), "-server-port=" + port(s.RPC),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
	})
	s.process, err = startAs(c.config.AsUnits, s.Name, s.log, PlainEnviron(), c.config.Binary, args...)
	return err
}

// leaderBy is the leader's RPC address as an agent says it, empty if it knows none.
func (c *ConsulServers) leaderBy(ctx context.Context, s *ConsulServer) (leader string, err error) {
	scheme, transport := "http://", &http.Transport{DisableKeepAlives: true}
	if c.config.Secure != nil {
		scheme = "https://"
		if transport.TLSClientConfig, err = trustIn(c.config.Secure.CA); err != nil {
			return "", err
		}
	}
	err = getJSONBy(ctx, &http.Client{Transport: transport}, scheme+s.HTTP+"/v1/status/leader", &leader)
	return leader, err
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// errNoConsulLeader says that the servers that run do not agree on one of them.
var errNoConsulLeader = errors.New("the Consul servers have no leader")

// Leader is the server that a quorum of all servers takes for the leader and that runs.
func (c *ConsulServers) Leader(ctx context.Context) (i int, err error) {
	votes := map[string]int{}
	for _, s := range c.Servers {
		if !s.Running() {
			continue
		}
		leader, askErr := c.leaderBy(ctx, s)
		if askErr != nil {
			err = askErr
			continue
		}
		votes[leader]++
	}
	for i, s := range c.Servers {
		if s.Running() && votes[s.RPC] > len(c.Servers)/2 {
			return i, nil
		}
	}
	return 0, errors.Join(errNoConsulLeader, err)
}

// AwaitLeader waits for a leader and returns which server it is. It ends with ctx, and when a server ends by itself.
func (c *ConsulServers) AwaitLeader(ctx context.Context) (leader int, err error) {
	running := slices.DeleteFunc(slices.Clone(c.Servers), func(s *ConsulServer) bool { return !s.Running() })
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if leader, err = c.Leader(ctx); err == nil {
			return leader, nil
		}
		for _, s := range running {
			if !s.Running() {
				return 0, &EndedError{Process: s.process}
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for a leader: %w", err)
		case <-ticker.C:
		}
	}
}

// Kill ends servers as a crash would, all of them if none is named, and returns when they have ended.
func (c *ConsulServers) Kill(which ...int) {
	if which == nil {
		for i := range c.Servers {
			which = append(which, i)
		}
	}
	for _, i := range which {
		c.Signal(i, syscall.SIGKILL)
	}
	for _, i := range which {
		if p := c.Servers[i].process; p != nil {
			<-p.Done()
		}
	}
}

// Signal sends a server a signal: SIGSTOP freezes it, SIGCONT lets it go on. To one that does not run it does nothing.
func (c *ConsulServers) Signal(i int, signal syscall.Signal) {
	if s := c.Servers[i]; s.Running() {
		s.process.Signal(signal)
	}
}

// Stop ends one server in good order, and kills it when ctx ends first, which is an error. It stays a member of the
// quorum, as it does when its machine is restarted.
func (c *ConsulServers) Stop(ctx context.Context, i int) error {
	if s := c.Servers[i]; s.Running() {
		return s.process.Stop(ctx)
	}
	return nil
}
