package takeover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/deploy/cluster"
)

// broker is a RabbitMQ that keeps what it has when it is started again.
type broker struct {
	config cluster.RabbitMQ
	node   *cluster.RabbitMQNode
}

const tries = 3 // to start it: somebody else may take one of its ports meanwhile

func startBroker(ctx context.Context, binary, dir string) (*broker, error) {
	ports, err := cluster.FreePorts(1)
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "rabbitmq"); err != nil { // one for each trial
		return nil, err
	}
	b := &broker{config: cluster.RabbitMQ{
		Binary: binary, Dir: dir, Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])),
	}}
	return b, b.start(ctx)
}

func (b *broker) start(ctx context.Context) (err error) {
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

func (b *broker) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if b.node == nil {
		return nil
	}
	err := b.node.Stop(ctx)
	b.node = nil
	return err
}

func (b *broker) url() string { return "amqp://guest:guest@" + b.config.Address + "/" }

// dial connects, with a channel that confirms.
func (b *broker) dial() (*amqp091.Connection, *amqp091.Channel, error) {
	connection, err := amqp091.DialConfig(b.url(), amqp091.Config{Heartbeat: 2 * time.Second, Dial: amqp091.DefaultDial(2 * time.Second)})
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

// publisher sends numbered messages to a queue, each until the broker has confirmed that it has it.
type publisher struct {
	broker     *broker
	queue      string
	messages   int
	resent     map[string]bool // that the broker may have more than once
	reconnects int
	hurried    bool               // as fast as it goes
	text       func(n int) string // of a message; nil for its name
}

const (
	batch      = 50
	batchEvery = 80 * time.Millisecond
	confirming = 5 * time.Second
)

// run sends all, and ends when the last one is confirmed.
func (p *publisher) run(ctx context.Context) error {
	every := batchEvery
	if p.hurried {
		every = time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var connection *amqp091.Connection
	var channel *amqp091.Channel
	defer func() {
		if connection != nil {
			_ = connection.Close() // all is confirmed, or nothing helps
		}
	}()
	for sent := 0; sent < p.messages; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages are published: %w", sent, p.messages, ctx.Err())
		case <-tick.C:
		}
		if channel == nil {
			var err error
			if connection, channel, err = p.broker.dial(); err != nil {
				continue // it is being restarted
			}
			if _, err = channel.QueueDeclare(p.queue, true, false, false, false, nil); err != nil {
				_ = connection.Close()
				connection, channel = nil, nil
				continue
			}
		}
		end := min(sent+batch, p.messages)
		if p.send(ctx, channel, sent, end) {
			sent = end
			continue
		}
		for n := sent; n < end; n++ {
			p.resent[p.name(n)] = true
		}
		p.reconnects++
		_ = connection.Close() // it is of no use
		connection, channel = nil, nil
	}
	return nil
}

func (p *publisher) name(n int) string { return fmt.Sprintf("%s-%d", p.queue, n) }

// number is that of a message of the queue's.
func (p *publisher) number(name string) (n int, ok bool) {
	text, ok := strings.CutPrefix(name, p.queue+"-")
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

// twice says whether the broker may have a message more than once.
func (p *publisher) twice(name string) bool { return p.resent[name] }

// send publishes a batch, and says whether the broker has all of it.
func (p *publisher) send(ctx context.Context, channel *amqp091.Channel, from, end int) bool {
	ctx, cancel := context.WithTimeout(ctx, confirming)
	defer cancel()
	var waiting []*amqp091.DeferredConfirmation
	for n := from; n < end; n++ {
		body := p.name(n)
		if p.text != nil {
			body = p.text(n)
		}
		c, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", p.queue, false, false, amqp091.Publishing{
			MessageId: p.name(n), DeliveryMode: amqp091.Persistent, Body: []byte(body),
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
