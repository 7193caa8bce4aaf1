package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"zatoha/deploy/cluster"
)

// startConsul starts the agent of each host.
func (f *Fleet) startConsul(ctx context.Context) error {
	if err := f.makeSecrets(ctx); err != nil {
		return err
	}
	for _, n := range f.Nodes {
		if err := n.StartAgent(); err != nil {
			return err
		}
	}
	return nil
}

// makeSecrets has the program deploy/consul make the configuration of each agent, and what the programs beside it need.
func (f *Fleet) makeSecrets(ctx context.Context) (err error) {
	f.secrets = cluster.Secrets{Program: filepath.Join(f.Bin, "zatoha-consul"), Dir: filepath.Join(f.Dir, "secrets"), Flags: f.machines()}
	if _, err := f.Client.Command(ctx, f.secrets.Command()...); err != nil {
		return err
	}
	f.operator, f.trust, err = f.secrets.Operator()
	return err
}

// machines are the flags that name all hosts: each runs programs of ours.
func (f *Fleet) machines() (flags []string) {
	if f.FastGossip {
		flags = append(flags, "--fast-gossip")
	}
	for _, n := range f.Nodes {
		machine := n.Role.Name + "=" + n.Address.String()
		if n.ConsulServer {
			flags = append(flags, "--server", machine)
		}
		flags = append(flags, "--client", machine)
	}
	return flags
}

// grantRights has the same program tell Consul, as soon as that has a leader, the tokens and what each may do.
func (f *Fleet) grantRights(ctx context.Context) error {
	for _, n := range f.Nodes {
		if n.ConsulServer {
			if err := n.awaitLeader(ctx); err != nil {
				return err
			}
			_, err := n.Command(ctx, f.secrets.Command("--acl", n.agent(""))...)
			return err
		}
	}
	return errors.New("no host has a Consul server")
}

// StartAgent starts a node's Consul agent.
func (n *Node) StartAgent() (err error) {
	n.Agent, err = n.begin(
		"consul", cluster.PlainEnviron(), n.fleet.Consul,
		"agent", "-config-dir="+n.fleet.secrets.AgentDir(n.Role.Name), "-data-dir="+n.dir("consul-data"),
	)
	return err
}

// agent is the URL of a path at a node's own agent.
func (n *Node) agent(path string) string {
	return fmt.Sprintf("https://127.0.0.1:%d%s", ConsulPort, path)
}

// askAgent asks a node's own agent, as an operator.
func (n *Node) askAgent(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true, TLSClientConfig: n.fleet.trust}}
	return call(ctx, client, n.fleet.operator, method, n.agent(path), body, func(text []byte) error {
		if into == nil {
			return nil
		}
		return json.Unmarshal(text, into)
	})
}

// environ is that of one of our programs on the node, whose package calls it lb, server or connectorhost.
func (n *Node) environ(program string) ([]string, error) {
	if n.Outer {
		return cluster.PlainEnviron(), nil
	}
	if program == "track" {
		program = "lb" // they share a token
	}
	own, err := n.fleet.secrets.Environ(n.Role.Name, program)
	return append(cluster.PlainEnviron(), own...), err
}

// leader is the address of Consul's leader by the word of a node's agent.
func (n *Node) leader(ctx context.Context) (address string, err error) {
	err = n.askAgent(ctx, http.MethodGet, "/v1/status/leader", nil, &address)
	if err == nil && address == "" {
		err = errors.New("consul has no leader")
	}
	return address, err
}

// awaitLeader waits until a node's agent knows of a leader.
func (n *Node) awaitLeader(ctx context.Context) error {
	return n.Agent.Await(ctx, func(ctx context.Context) error {
		_, err := n.leader(ctx)
		return err
	})
}

// Leader is the node whose Consul server leads, by the word of any that answers.
func (f *Fleet) Leader(ctx context.Context) (*Node, error) {
	for _, n := range f.Nodes {
		leader, err := n.leader(ctx)
		if err != nil {
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

// Put writes a value under a key, by a node's own agent.
func (n *Node) Put(ctx context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return n.askAgent(ctx, http.MethodPut, "/v1/kv/"+key, text, nil)
}

// Refused are the lines in which our programs say that they lack a right in Consul: each has a token with all that it
// needs. That a token is unknown says no more than that a Consul server has just been started, and has not read its log
// yet.
func (f *Fleet) Refused() (lines []string, err error) {
	for _, behind := range f.Behind {
		more, err := behind.Refused()
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	for _, n := range f.Nodes {
		for _, program := range []string{"server", "lb", "track", "connectorhost"} {
			text, err := os.ReadFile(n.log(program))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, "Permission denied") {
					lines = append(lines, fmt.Sprintf("%s on %s: %s", program, n.Role.Name, strings.TrimSpace(line)))
				}
			}
		}
	}
	return lines, nil
}
