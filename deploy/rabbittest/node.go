// Package rabbittest runs a real RabbitMQ node for tests, and stops and starts it as they want:
//
//	node, err := rabbittest.New("listeners.ssl.1 = 127.0.0.1:5671") // error: there is no rabbitmq-server
//	defer node.Close()
//	...
//	node.Stop(t) // what is durable survives
//	node.Start(t)
//
// A node takes seconds to start, so the tests of a package share one, which TestMain makes: each has its own queues. It
// is on 127.0.0.1, with ports, folders and a port mapper of its own, and leaves nothing behind.
package rabbittest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/tools/find"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Node is a running, or stopped, RabbitMQ node. It belongs to one goroutine.
type Node struct {
	config  cluster.RabbitMQ
	running *cluster.RabbitMQNode // nil while stopped
}

// New starts a node, with more lines for rabbitmq.conf. The error wraps [find.ErrMissing] if there is no RabbitMQ.
func New(config ...string) (*Node, error) {
	binary, err := find.FindRabbitMQ()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "zatoha-rabbitmq")
	if err != nil {
		return nil, err
	}
	ports, err := cluster.FreePorts(1)
	if err != nil {
		return nil, err
	}
	n := &Node{config: cluster.RabbitMQ{
		Binary: binary, Dir: dir, Address: fmt.Sprintf("127.0.0.1:%d", ports[0]), Config: config,
	}}
	if err := n.start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return n, nil
}

// Address is where the node speaks AMQP, host:port, the same for all its runs.
func (n *Node) Address() string { return n.config.Address }

// URL is where guest connects.
func (n *Node) URL() string { return "amqp://guest:guest@" + n.Address() + "/" }

func (n *Node) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	running, err := cluster.StartRabbitMQ(ctx, n.config)
	if err != nil {
		return err
	}
	n.running = running
	return nil
}

// Start starts the node again if it is stopped, and returns when it speaks AMQP.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	if n.running != nil {
		return
	}
	if err := n.start(); err != nil {
		t.Fatalf("rabbittest: %v", err)
	}
}

// Stop stops the node in good order, and returns when its process has ended.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	if err := n.stop(); err != nil {
		t.Fatalf("rabbittest: %v", err)
	}
}

// Kill ends the node as a crash would. What it had confirmed survives.
func (n *Node) Kill() {
	if n.running != nil {
		n.running.Kill()
		n.running = nil
	}
}

func (n *Node) stop() error {
	if n.running == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := n.running.Stop(ctx)
	n.running = nil
	return err
}

// Control runs rabbitmqctl on the node, which takes a second or two, and returns what it prints.
func (n *Node) Control(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	output, err := n.running.Control(ctx, args...)
	if err != nil {
		t.Fatalf("rabbittest: %v", err)
	}
	return output
}

// Close ends the node and removes what it had stored.
func (n *Node) Close() error {
	n.Kill()
	return os.RemoveAll(n.config.Dir)
}
