// Package consultest runs a real Consul agent for a test, and stops and starts it as the test wants:
//
//	agent := consultest.Start(t) // skips the test when there is no consul binary
//	client, err := consul.New(agent.Address())
//	...
//	agent.Stop()
//	agent.StartEmpty() // at the same address, all state lost
//
// The agent is a one-server development cluster on 127.0.0.1, with ports of its own, and ends with the test.
package consultest

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// Agent is a running, or stopped, Consul agent. It belongs to the test's goroutine.
type Agent struct {
	t         testing.TB
	binary    string
	dataDir   string
	address   string
	arguments []string         // more than every agent has
	running   *cluster.Process // nil while stopped
}

// Start starts an agent and returns when it has a leader. It skips the test if there is no consul binary.
func Start(t testing.TB) *Agent {
	t.Helper()
	return start(t)
}

func start(t testing.TB, arguments ...string) *Agent {
	t.Helper()
	binary, err := find.FindConsul()
	if err != nil {
		t.Skipf("needs a real Consul: %v", err)
	}
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{t: t, binary: binary, arguments: arguments, address: address}
	t.TempDir() // removed after the agent has stopped, since it was asked for before
	t.Cleanup(a.Stop)
	a.StartEmpty()
	return a
}

// Address is the agent's HTTP address, host:port, the same for all its runs.
func (a *Agent) Address() string { return a.address }

// StartEmpty starts a stopped agent again without anything it knew.
func (a *Agent) StartEmpty() {
	a.t.Helper()
	a.dataDir = a.t.TempDir()
	a.Start()
}

// Start starts a stopped agent again, and returns when it has a leader. It knows the services and checks that were
// registered with it, and nothing else: the catalog and the keys of a development agent are in memory.
func (a *Agent) Start() {
	a.t.Helper()
	if a.running != nil {
		a.t.Fatal("consultest: the agent is running already")
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	log := filepath.Join(a.dataDir, "consul.log")
	arguments := append(slices.Clone(a.arguments), "-data-dir="+a.dataDir)
	running, err := cluster.StartConsul(ctx, a.binary, a.address, log, arguments...)
	for err != nil && strings.Contains(err.Error(), "address already in use") && ctx.Err() == nil {
		// One of the ports that were free was taken before the agent got to it.
		running, err = cluster.StartConsul(ctx, a.binary, a.address, log, arguments...)
	}
	if err != nil {
		a.t.Fatalf("consultest: %v", err)
	}
	a.running = running
}

// Stop stops the agent, if it is running, and returns when its process has ended.
func (a *Agent) Stop() {
	a.t.Helper()
	if a.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := a.running.Stop(ctx); err != nil {
		a.t.Errorf("consultest: %v", err)
	}
	a.running = nil
}

// Kill ends the agent with SIGKILL, as a crash would.
func (a *Agent) Kill() {
	a.running.Kill()
	a.running = nil
}
