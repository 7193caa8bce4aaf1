// Package broker runs a RabbitMQ for the benchmarks, and sends it messages of which none may be lost.
//
// One case: [Start] starts a node in a folder, and a [Publisher] sends "orders-0", "orders-1" and so on to the queue
// orders, in batches, each again until the broker has confirmed it. The broker is stopped and started meanwhile: what was
// not confirmed then may be there twice, and stands in Resent. In the end, whoever counted what came knows what is lost.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// Broker is a RabbitMQ that keeps what it has when it is started again.
type Broker struct {
	config cluster.RabbitMQ
	node   *cluster.RabbitMQNode
}

const (
	bound   = 60 * time.Second // whatever takes longer is broken
	dialing = 2 * time.Second
	tries   = 3 // to start it: somebody else may take one of its ports meanwhile
)

// Start starts a node of RabbitMQ's start script, with a new folder in dir.
func Start(ctx context.Context, binary, dir string) (*Broker, error) {
	address, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "rabbitmq"); err != nil {
		return nil, err
	}
	return StartAs(ctx, cluster.RabbitMQ{Binary: binary, Dir: dir, Address: address})
}

// StartAs starts a node as it is configured, be it on another host.
func StartAs(ctx context.Context, config cluster.RabbitMQ) (*Broker, error) {
	b := &Broker{config: config}
	return b, b.Start(ctx)
}

// Start starts the node again, with what it had.
func (b *Broker) Start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for range tries {
		b.node, err = cluster.StartRabbitMQ(ctx, b.config)
		if _, ended := errors.AsType[*cluster.EndedError](err); !ended {
			return err
		}
	}
	return err
}

// Stop stops the node in good order, also when ctx has ended.
func (b *Broker) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if b.node == nil {
		return nil
	}
	err := b.node.Stop(ctx)
	b.node = nil
	return err
}

// Kill ends the node as a crash would.
func (b *Broker) Kill() {
	if b.node != nil {
		b.node.Kill()
		b.node = nil
	}
}

// URL is where it is to be connected to.
func (b *Broker) URL() string { return "amqp://guest:guest@" + b.config.Address + "/" }

// Dial connects, with a channel that confirms.
func (b *Broker) Dial() (*amqp091.Connection, *amqp091.Channel, error) {
	connection, err := amqp091.DialConfig(b.URL(), amqp091.Config{Heartbeat: 2 * time.Second, Dial: b.connect})
	if err != nil {
		return nil, nil, err
	}
	channel, err := connection.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		return nil, nil, errors.Join(err, connection.Close())
	}
	return connection, channel, nil
}

// connect bounds the beginning of a connection, as amqp091's own way to dial does, also on another host.
func (b *Broker) connect(network, address string) (net.Conn, error) {
	dial := b.config.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialing)
	defer cancel()
	connection, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return connection, connection.SetDeadline(time.Now().Add(dialing))
}

// Publisher sends numbered messages to a queue, each until the broker has confirmed that it has it.
type Publisher struct {
	Broker   *Broker
	Queue    string
	Messages int                // how many
	Resent   map[string]bool    // that the broker may have more than once
	Batch    int                // messages at once
	Every    time.Duration      // between two batches; 0 is [BatchEvery]
	Text     func(n int) string // of a message; nil for its name

	finish atomic.Bool
	sent   atomic.Int64
}

const (
	BatchEvery = 80 * time.Millisecond
	Hurried    = time.Millisecond // batch after batch, as fast as it goes
	confirming = 5 * time.Second
)

// Run sends all, and ends when the last one is confirmed.
func (p *Publisher) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(p.Every, BatchEvery))
	defer tick.Stop()
	var connection *amqp091.Connection
	var channel *amqp091.Channel
	defer func() {
		if connection != nil {
			_ = connection.Close() // all is confirmed, or nothing helps
		}
	}()
	for p.Sent() < p.Messages && !p.finish.Load() {
		sent := p.Sent()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages are published: %w", sent, p.Messages, ctx.Err())
		case <-tick.C:
		}
		if channel == nil {
			var err error
			if connection, channel, err = p.Broker.Dial(); err != nil {
				continue // it is being restarted
			}
			if _, err = channel.QueueDeclare(p.Queue, true, false, false, false, nil); err != nil {
				_ = connection.Close()
				connection, channel = nil, nil
				continue
			}
		}
		end := min(sent+p.Batch, p.Messages)
		if p.send(ctx, channel, sent, end) {
			p.sent.Store(int64(end))
			continue
		}
		if p.Resent == nil {
			p.Resent = map[string]bool{}
		}
		for n := sent; n < end; n++ {
			p.Resent[p.Name(n)] = true
		}
		_ = connection.Close() // it is of no use
		connection, channel = nil, nil
	}
	return nil
}

// Finish lets Run end after the batch that it is at.
func (p *Publisher) Finish() { p.finish.Store(true) }

// Sent is how many are confirmed until now.
func (p *Publisher) Sent() int { return int(p.sent.Load()) }

// Name is that of a message, and what it says unless there is a Text.
func (p *Publisher) Name(n int) string { return fmt.Sprintf("%s-%d", p.Queue, n) }

// Number is that of a message of the queue's.
func (p *Publisher) Number(name string) (n int, ok bool) {
	text, ok := strings.CutPrefix(name, p.Queue+"-")
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

// Twice says whether the broker may have a message more than once.
func (p *Publisher) Twice(name string) bool { return p.Resent[name] }

// send publishes a batch, and says whether the broker has all of it.
func (p *Publisher) send(ctx context.Context, channel *amqp091.Channel, from, end int) bool {
	ctx, cancel := context.WithTimeout(ctx, confirming)
	defer cancel()
	var waiting []*amqp091.DeferredConfirmation
	for n := from; n < end; n++ {
		text := p.Name(n)
		if p.Text != nil {
			text = p.Text(n)
		}
		c, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", p.Queue, false, false, amqp091.Publishing{
			MessageId: p.Name(n), DeliveryMode: amqp091.Persistent, Body: []byte(text),
		})
		if err != nil {
			return false
		}
		waiting = append(waiting, c)
	}
	for _, c := range waiting {
		if taken, err := c.WaitContext(ctx); err != nil || !taken {
			return false
		}
	}
	return true
}
