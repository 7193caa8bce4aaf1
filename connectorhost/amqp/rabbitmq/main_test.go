// Package rabbitmq holds the tests of the kind "amqp" against a real RabbitMQ: the conformance suite, and what is
// RabbitMQ's own. One node, which TestMain starts, serves them all; each test has queues of its own.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	_ "zatoha/connectorhost/amqp"
	"zatoha/deploy/rabbittest"
)

// node is the broker of all tests.
var node *rabbittest.Node

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "zatoha-tls")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(folder)
	config, err := secure(folder)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	started, err := rabbittest.New(config...)
	if errors.Is(err, rabbittest.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		fmt.Printf("SKIPPED: no test with a real RabbitMQ was run: %v\n", err)
		return 0
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	node = started
	defer node.Close()
	return m.Run()
}

const bound = 60 * time.Second // whatever takes longer is broken, however slow the machine

var queues atomic.Int64

// newQueue declares a durable queue of its own for a test, and deletes it in the end.
func newQueue(t testing.TB, kind string, more amqp091.Table) string {
	t.Helper()
	node.Start(t)
	name := fmt.Sprintf("queue-%d", queues.Add(1))
	arguments := amqp091.Table{"x-queue-type": kind}
	for argument, value := range more {
		arguments[argument] = value
	}
	admin(t, func(c *amqp091.Channel) error {
		_, err := c.QueueDeclare(name, true, false, false, false, arguments)
		return err
	})
	t.Cleanup(func() {
		node.Start(t)
		admin(t, func(c *amqp091.Channel) error {
			_, err := c.QueueDelete(name, false, false, false)
			return err
		})
	})
	return name
}

// admin does something on a connection of its own, so that no goroutine is left behind.
func admin(t testing.TB, do func(*amqp091.Channel) error) {
	t.Helper()
	connection, err := amqp091.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err == nil {
		err = do(channel)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// put publishes messages to a queue, and returns when the broker has them all.
func put(t testing.TB, queue string, messages ...amqp091.Publishing) {
	t.Helper()
	admin(t, func(c *amqp091.Channel) error {
		if err := c.Confirm(false); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		var last *amqp091.DeferredConfirmation
		for _, m := range messages {
			m.DeliveryMode = amqp091.Persistent
			var err error
			if last, err = c.PublishWithDeferredConfirm("", queue, false, false, m); err != nil {
				return err
			}
		}
		acked, err := last.WaitContext(ctx)
		if err == nil && !acked {
			return errors.New("the broker refused a message")
		}
		return err
	})
}

// ready is how many messages wait in a queue.
func ready(t testing.TB, queue string) (n int) {
	t.Helper()
	admin(t, func(c *amqp091.Channel) error {
		q, err := c.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n
}

// take empties a queue.
func take(t testing.TB, queue string) (all []amqp091.Delivery) {
	t.Helper()
	admin(t, func(c *amqp091.Channel) error {
		for {
			d, ok, err := c.Get(queue, true)
			if err != nil || !ok {
				return err
			}
			all = append(all, d)
		}
	})
	return all
}

// through is the node's URL at another address.
func through(address string) string {
	u, err := url.Parse(node.URL())
	if err != nil {
		panic(err)
	}
	u.Host = address
	return u.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
