package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Agent is a Consul agent that is to be configured.
type Agent struct {
	Name    string
	Address netip.Addr
	Server  bool
	Servers []netip.Addr // all of the cluster
	DataDir string
	Gossip  Gossip
}

// Files are what an agent needs, and those who ask it.
type Files struct {
	Config map[string][]byte // its configuration, by name
	// Environment is what a program is given to ask the agent with, such as its token: server, lb, track or connectorhost. It
	// is asked for when the program is started; nil is nothing.
	Environment func(program string) []string
	Token       string // of the fleet's own calls, if they need one
}

// Agents makes the configuration of an agent.
type Agents func(Agent) (Files, error)

// Gossip is how fast the agents notice that one of them is dead; zero is Consul's own.
type Gossip struct {
	ProbeInterval  time.Duration // between two probes of an agent
	ProbeTimeout   time.Duration // of one
	SuspicionMult  int           // how long an agent that does not answer may protest, in probes, more or less
	GossipInterval time.Duration // between two rounds of telling others
}

// Tuned is the gossip for one network of machines: a dead agent is known within about a second and a half, where with
// Consul's own it takes six.
func Tuned() Gossip {
	return Gossip{ProbeInterval: 250 * time.Millisecond, ProbeTimeout: 150 * time.Millisecond, SuspicionMult: 3, GossipInterval: 50 * time.Millisecond}
}

// MarshalJSON writes it as Consul's gossip_lan.
func (g Gossip) MarshalJSON() ([]byte, error) {
	lan := map[string]any{}
	for name, value := range map[string]time.Duration{
		"probe_interval": g.ProbeInterval, "probe_timeout": g.ProbeTimeout, "gossip_interval": g.GossipInterval,
	} {
		if value > 0 {
			lan[name] = value.String()
		}
	}
	if g.SuspicionMult > 0 {
		lan["suspicion_mult"] = g.SuspicionMult
	}
	return json.Marshal(lan)
}

// Plain is an agent without encryption or access control, for a network of its own.
func Plain(a Agent) (Files, error) {
	config := map[string]any{
		"node_name": a.Name, "data_dir": a.DataDir, "bind_addr": a.Address.String(), "client_addr": "127.0.0.1",
		"ports":       map[string]int{"http": ConsulPort, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"performance": map[string]int{"raft_multiplier": 1}, "disable_update_check": true, "log_level": "info",
		// A server that was cut off for a moment stays one: to be taken in anew would cost it half a minute.
		"autopilot":  map[string]bool{"cleanup_dead_servers": false},
		"retry_join": others(a), "retry_interval": "1s", "gossip_lan": a.Gossip,
	}
	if a.Server {
		config["server"], config["bootstrap_expect"] = true, len(a.Servers)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	return Files{Config: map[string][]byte{"consul.json": text}}, err
}

func others(a Agent) (addresses []string) {
	for _, server := range a.Servers {
		if server != a.Address {
			addresses = append(addresses, server.String())
		}
	}
	return addresses
}

// StartAgent starts a node's Consul agent.
func (n *Node) StartAgent() error {
	f := n.fleet
	agent := Agent{Name: n.Role.Name, Address: n.Address, Server: n.ConsulServer, DataDir: n.dir("consul-data"), Gossip: f.Gossip}
	for _, other := range f.Nodes {
		if other.ConsulServer {
			agent.Servers = append(agent.Servers, other.Address)
		}
	}
	make := f.Agents
	if make == nil {
		make = Plain
	}
	files, err := make(agent)
	if err != nil {
		return fmt.Errorf("consul on %s: %w", n.Role.Name, err)
	}
	folder := n.dir("consul")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, text := range files.Config {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	n.files = files
	n.Agent, err = n.Start("consul", n.log("consul"), plainEnviron(), f.Consul, "agent", "-config-dir="+folder)
	return err
}

// environ is that of one of our programs on the node.
func (n *Node) environ(program string) []string {
	environ := append(plainEnviron(), fmt.Sprintf("CONSUL_HTTP_ADDR=127.0.0.1:%d", ConsulPort))
	if n.files.Environment != nil {
		environ = append(environ, n.files.Environment(program)...)
	}
	return environ
}

// plainEnviron is ours without what would configure an agent or its clients.
func plainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "ZATOHA_")
	})
}

// Leader is the node whose Consul server leads, by the word of any that answers.
func (f *Fleet) Leader(ctx context.Context) (*Node, error) {
	for _, n := range f.Nodes {
		leader := ""
		if err := n.Get(ctx, fmt.Sprintf("http://127.0.0.1:%d/v1/status/leader", ConsulPort), &leader); err != nil {
			continue
		}
		host, err := netip.ParseAddrPort(leader)
		if err != nil {
			continue
		}
		for _, candidate := range f.Nodes {
			if candidate.Address == host.Addr() {
				return candidate, nil
			}
		}
	}
	return nil, errors.New("consul has no leader")
}
