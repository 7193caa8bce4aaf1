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
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
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

// ErrMissing is wrapped by New's error if there is no RabbitMQ.
var ErrMissing = find.ErrMissing

// New starts a node, with more lines for rabbitmq.conf.
func New(config ...string) (*Node, error) {
	binary, err := find.FindRabbitMQ()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "zatoha-rabbitmq")
	if err != nil {
		return nil, err
	}
	address, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	n := &Node{config: cluster.RabbitMQ{Binary: binary, Dir: dir, Address: address, Config: config}}
	if err := n.start(); err != nil {
		return nil, errors.Join(errors.New(err.Error()), os.RemoveAll(dir)) // the text reads the logs
	}
	return n, nil
}

// Address is where the node speaks AMQP, host:port, the same for all its runs.
func (n *Node) Address() string { return n.config.Address }

// URL is where guest connects.
func (n *Node) URL() string { return "amqp://guest:guest@" + n.Address() + "/" }

// tries of a start: another process may take a free port, of which a node needs several, before the node does.
const tries = 3

func (n *Node) start() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for range tries {
		n.running, err = cluster.StartRabbitMQ(ctx, n.config)
		if _, ended := errors.AsType[*cluster.EndedError](err); !ended {
			return err
		}
		err = fmt.Errorf("%w: %s", err, n.tail()) // while its logs are there
	}
	return err
}

// tail is the end of the node's own log.
func (n *Node) tail() string {
	logs, _ := filepath.Glob(filepath.Join(n.config.Dir, "log", "*.log"))
	var end strings.Builder
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err == nil && len(text) > 0 {
			end.Write(text[max(0, len(text)-2000):])
		}
	}
	return end.String()
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
