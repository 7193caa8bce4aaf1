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
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// Agent is a running, or stopped, Consul agent. It belongs to the test's goroutine.
type Agent struct {
	t       testing.TB
	binary  string
	dataDir string
	port    int
	running *process // nil while stopped
}

// process is one run of the agent.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer // complete when done is closed
	done chan struct{}
}

// Start starts an agent and returns when it has a leader. It skips the test if there is no consul binary: CONSUL_BIN names
// one, else it is looked for in PATH.
func Start(t testing.TB) *Agent {
	t.Helper()
	binary := os.Getenv("CONSUL_BIN")
	if binary == "" {
		found, err := exec.LookPath("consul")
		if err != nil {
			t.Skip("needs a real Consul: put a consul binary into PATH or name one in CONSUL_BIN")
		}
		binary = found
	}
	a := &Agent{t: t, binary: binary, dataDir: t.TempDir(), port: freePorts(t, 1)[0]}
	t.Cleanup(a.Stop)
	a.Start()
	return a
}

// Address is the agent's HTTP address, host:port, the same for all its runs.
func (a *Agent) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.port)) }

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
	ports := freePorts(a.t, 3)
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(a.binary, "agent", "-dev", "-node=node-1", "-log-level=warn", "-disable-host-node-id",
		"-bind=127.0.0.1", "-client=127.0.0.1", "-data-dir="+a.dataDir, "-hcl=disable_update_check = true",
		"-http-port="+strconv.Itoa(a.port), "-server-port="+strconv.Itoa(ports[0]),
		"-serf-lan-port="+strconv.Itoa(ports[1]), "-serf-wan-port="+strconv.Itoa(ports[2]),
		"-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = withoutConsul(os.Environ())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		a.t.Fatalf("consultest: start %s: %v", a.binary, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	a.running = p
	a.awaitLeader()
}

// Stop stops the agent, if it is running, and returns when its process has ended.
func (a *Agent) Stop() {
	a.t.Helper()
	p := a.running
	if p == nil {
		return
	}
	a.running = nil
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.done
		a.t.Errorf("consultest: the agent did not stop within %v of SIGTERM, and was killed:\n%s", stopTimeout, &p.log)
	}
}

// Kill ends the agent with SIGKILL, as a crash would.
func (a *Agent) Kill() {
	p := a.running
	a.running = nil
	p.cmd.Process.Kill()
	<-p.done
}

func (a *Agent) awaitLeader() {
	a.t.Helper()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	timeout := time.After(startTimeout)
	for {
		leader, err := a.leader()
		if leader {
			return
		}
		select {
		case <-poll.C:
		case <-a.running.done:
			a.t.Fatalf("consultest: the agent ended at its start:\n%s", &a.running.log)
		case <-timeout:
			a.Kill()
			a.t.Fatalf("consultest: no leader after %v (%v)", startTimeout, err)
		}
	}
}

func (a *Agent) leader() (bool, error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + a.Address() + "/v1/status/leader")
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d %s: %w", response.StatusCode, body, err)
	}
	return len(strings.Trim(strings.TrimSpace(string(body)), `"`)) > 0, nil
}

// freePorts finds n different TCP ports of 127.0.0.1 on which nobody listens.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// withoutConsul drops the CONSUL_* variables, which would configure the agent.
func withoutConsul(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "CONSUL_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
