package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"zatoha/deploy/freeport"
)

// RabbitMQ says where a node keeps its state and listens. It shares nothing with a node that runs as the system's
// service: neither files, nor ports, nor the port mapper of Erlang.
type RabbitMQ struct {
	Binary  string   // RabbitMQ's own start script: see deploy/tools/find
	Dir     string   // its state and logs; what is durable in it survives a restart
	Address string   // where it speaks AMQP
	Config  []string // more lines for rabbitmq.conf

	// Where it runs, if not here: see [StartWithin], and how to connect to it there.
	Enter func() error
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// RabbitMQNode is a node that runs, with the port mapper that it needs.
type RabbitMQNode struct {
	*Process
	mapper  *Process
	control string   // path of rabbitmqctl
	environ []string // in which it finds the node
}

// StartRabbitMQ starts a node and waits until it speaks AMQP, which takes about five seconds. Only the user guest, from
// this machine, with the password guest, may use it.
func StartRabbitMQ(ctx context.Context, r RabbitMQ) (*RabbitMQNode, error) {
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq's address: %w", err)
	}
	internal, err := freeport.Some(2)
	if err != nil {
		return nil, err
	}
	mapperPort, distribution := strconv.Itoa(internal[0]), strconv.Itoa(internal[1])
	lines := append([]string{"listeners.tcp.1 = " + net.JoinHostPort(host, port), "log.console = false"}, r.Config...)
	config := filepath.Join(r.Dir, "rabbitmq.conf")
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start rabbitmq: %w", err)
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("start rabbitmq: %w", err)
	}
	mapper, err := startMapper(r, mapperPort)
	if err != nil {
		return nil, err
	}
	environ := r.environ(config, mapperPort, distribution)
	p, err := StartWithin(r.Enter, "rabbitmq", filepath.Join(r.Dir, "start.log"), environ, r.Binary)
	if err != nil {
		mapper.Kill()
		return nil, err
	}
	control := filepath.Join(filepath.Dir(r.Binary), "rabbitmqctl")
	node := &RabbitMQNode{Process: p, mapper: mapper, control: control, environ: environ}
	if err := p.Await(ctx, func(ctx context.Context) error { return speaksAMQP(ctx, r.Dial, r.Address) }); err != nil {
		node.Kill()
		return nil, err
	}
	return node, nil
}

// startMapper starts Erlang's port mapper as a process of ours. Left alone the node would start one that outlives it.
func startMapper(r RabbitMQ, port string) (*Process, error) {
	binary, err := exec.LookPath("epmd")
	if err != nil {
		return nil, fmt.Errorf("start rabbitmq: erlang's port mapper: %w", err)
	}
	return StartWithin(r.Enter, "epmd", filepath.Join(r.Dir, "epmd.log"), os.Environ(), binary, "-port", port, "-address", "127.0.0.1")
}

// environ are the variables that keep the node to its folder and its ports.
func (r RabbitMQ) environ(config, mapper, distribution string) []string {
	environ := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "RABBITMQ_") || strings.HasPrefix(variable, "NOTIFY_SOCKET=")
	})
	in := func(name string) string { return filepath.Join(r.Dir, name) }
	return append(environ,
		"HOME="+r.Dir, // for .erlang.cookie
		"ERL_EPMD_PORT="+mapper, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=zatoha@localhost", // queues are bound to it; with a mapper of its own there is no other
		"RABBITMQ_DIST_PORT="+distribution,
		"RABBITMQ_MNESIA_BASE="+in("mnesia"), "RABBITMQ_LOG_BASE="+in("log"),
		"RABBITMQ_CONFIG_FILE="+config, "RABBITMQ_ADVANCED_CONFIG_FILE="+in("none.config"), "RABBITMQ_CONF_ENV_FILE="+in("none.conf"),
		"ERL_CRASH_DUMP="+in("erl_crash.dump"), // else it would be left in the caller's folder
		"RABBITMQ_ENABLED_PLUGINS_FILE="+in("plugins"), "RABBITMQ_PID_FILE="+in("rabbitmq.pid"),
		// The script becomes the node, so that the process that was started is the one to signal.
		"RUNNING_UNDER_SYSTEMD=true",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
	)
}

// SpeaksAMQP says whether somebody answers as a broker does.
func SpeaksAMQP(ctx context.Context, address string) error { return speaksAMQP(ctx, nil, address) }

func speaksAMQP(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	connection, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	if _, err := io.WriteString(connection, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	var start [1]byte
	if _, err := io.ReadFull(connection, start[:]); err != nil {
		return err
	}
	if start[0] != 1 {
		return errors.New("what listens there speaks no AMQP 0-9-1")
	}
	return nil
}

// Control runs rabbitmqctl on the node and returns what it prints.
func (n *RabbitMQNode) Control(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.control, append([]string{"--quiet"}, args...)...)
	cmd.Env = n.environ
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}

// Kill ends the node as a crash would.
func (n *RabbitMQNode) Kill() {
	n.Process.Kill()
	n.mapper.Kill()
}

// Stop ends the node in good order, and kills it when ctx ends first, which is an error.
func (n *RabbitMQNode) Stop(ctx context.Context) error {
	err := n.Process.Stop(ctx)
	n.mapper.Kill()
	return err
}
