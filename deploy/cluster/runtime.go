package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"time"
)

var statsSocket = regexp.MustCompile(`(?m)^\s*stats socket (\S+)`)

// runtimeTimeout bounds one command to HAProxy.
const runtimeTimeout = 5 * time.Second

// Runtime gives a command, or several with a semicolon between, to HAProxy's runtime socket and returns its answer.
func (c *Cluster) Runtime(ctx context.Context, command string) (string, error) {
	text, err := os.ReadFile(c.HAProxyCfg())
	if err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %w", err)
	}
	found := statsSocket.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("haproxy's runtime socket: %s has none", c.HAProxyCfg())
	}
	return AskHAProxy(ctx, string(found[1]), command)
}

// AskHAProxy is [Cluster.Runtime] for any HAProxy, by the path of its runtime socket.
func AskHAProxy(ctx context.Context, socket, command string) (string, error) {
	dialer := net.Dialer{Timeout: runtimeTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %w", err)
	}
	defer conn.Close()
	deadlineErr := conn.SetDeadline(time.Now().Add(runtimeTimeout))
	_, writeErr := io.WriteString(conn, command+"\n")
	answer, readErr := io.ReadAll(conn)
	if err := errors.Join(deadlineErr, writeErr, readErr); err != nil {
		return "", fmt.Errorf("haproxy's runtime socket: %s: %w", command, err)
	}
	return string(answer), nil
}

// Launch starts another program beside the cluster's own, as they are started: its output goes to the cluster's logs,
// its Consul is the cluster's, and it is killed if we die. Whoever launches it stops it.
func (c *Cluster) Launch(name, binary string, args ...string) (*Process, error) {
	return startProcess(name, c.log(name), c.env(""), binary, args...)
}
