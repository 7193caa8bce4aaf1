package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// EdgeConfig says what an outer load balancer is made of, and which clusters it is in front of.
type EdgeConfig struct {
	Bin        string   // folder with our programs
	HAProxyBin string   // path of HAProxy
	Dir        string   // folder for its files and logs
	Front      string   // where it listens
	Metrics    string   // where it tells Prometheus; "" for nowhere
	Args       []string // of edge config: the clusters, and what differs from the defaults
}

// Edge is a running outer load balancer: an HAProxy, and the watch beside it.
type Edge struct {
	EdgeConfig
	HAProxy *Process
	Watch   *Process
}

// StartEdge starts an outer load balancer, and waits until it listens. If that fails, what was started is ended.
func StartEdge(ctx context.Context, config EdgeConfig) (_ *Edge, err error) {
	e := &Edge{EdgeConfig: config}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the outer load balancer: %w", err)
			e.Kill()
		}
	}()
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := e.Configure(ctx); err != nil {
		return nil, err
	}
	// The master stays in the foreground; a reload makes it HAProxy's program anew, as that is then.
	e.HAProxy, err = startProcess("edge-haproxy", e.log("haproxy"), PlainEnviron(), e.HAProxyBin, "-W", "-f", e.file())
	if err != nil {
		return nil, err
	}
	if err := e.HAProxy.Await(ctx, func(ctx context.Context) error {
		_, err := AskHAProxy(ctx, e.Socket(), "show version")
		return err
	}); err != nil {
		return nil, err
	}
	return e, e.StartWatch()
}

// Configure writes the configuration, as the program in Bin makes it now. HAProxy runs on with the old one until a
// reload.
func (e *Edge) Configure(ctx context.Context) error {
	metrics := e.Metrics
	if metrics == "" {
		metrics = "off"
	}
	args := []string{
		"config", "--listen", e.Front, "--socket", e.Socket(), "--state-file", e.stateFile(), "--metrics-listen", metrics, "--write", e.file(),
	}
	if _, err := e.Run(ctx, append(args, e.Args...)...); err != nil {
		return err
	}
	if output, err := exec.CommandContext(ctx, e.HAProxyBin, "-c", "-f", e.file()).CombinedOutput(); err != nil {
		return fmt.Errorf("haproxy refuses %s: %w: %s", e.file(), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// StartWatch starts the watch.
func (e *Edge) StartWatch() (err error) {
	e.Watch, err = startProcess("edge-watch", e.log("watch"), PlainEnviron(), e.program(), "watch", "--sockets", e.Socket(), "--state-file", e.stateFile())
	return err
}

// Run runs edge with these arguments to its end, and returns what it said.
func (e *Edge) Run(ctx context.Context, args ...string) (said string, err error) {
	command := exec.CommandContext(ctx, e.program(), args...)
	command.Env, command.WaitDelay = PlainEnviron(), time.Second
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("edge %s: %w: %s", args[0], err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// Socket is the path of HAProxy's runtime socket.
func (e *Edge) Socket() string { return filepath.Join(e.Dir, "edge.sock") }

func (e *Edge) stateFile() string      { return filepath.Join(e.Dir, "edge.state") }
func (e *Edge) program() string        { return filepath.Join(e.Bin, "edge") }
func (e *Edge) file() string           { return filepath.Join(e.Dir, "haproxy.cfg") }
func (e *Edge) log(name string) string { return filepath.Join(e.Dir, name+".log") }

// Kill ends it at once.
func (e *Edge) Kill() {
	for _, p := range []*Process{e.Watch, e.HAProxy} {
		if p != nil {
			p.Kill()
		}
	}
}
