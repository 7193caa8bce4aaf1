package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/deploy/cluster"
)

// broker is a RabbitMQ on the client's host, with a queue to which numbered messages are published at a steady rate. It
// keeps each until a connector has acknowledged it, so that none may be lost, whatever dies.
type broker struct {
	node      *cluster.RabbitMQNode
	address   string
	queue     string
	conn      *amqp091.Connection
	publisher sync.WaitGroup
	stop      context.CancelFunc

	mu        sync.Mutex
	published []string // and confirmed
	err       error
}

const publishEvery = 20 * time.Millisecond

// startBroker starts one, defines a connector, and begins to publish.
func (s *stage) startBroker(ctx context.Context, binary string) (err error) {
	b := &broker{address: net.JoinHostPort(s.Client.Address.String(), "5672"), queue: "a-1"}
	b.node, err = cluster.StartRabbitMQ(ctx, cluster.RabbitMQ{
		Binary: binary, Dir: filepath.Join(s.dir, "rabbitmq"), Address: b.address, Config: []string{"loopback_users = none"},
		Enter: s.Client.Enter, Dial: s.Client.Dial,
	})
	if err != nil {
		return err
	}
	s.broker = b
	url := "amqp://guest:guest@" + b.address + "/"
	b.conn, err = amqp091.DialConfig(url, amqp091.Config{Dial: func(network, address string) (net.Conn, error) {
		return s.Client.Dial(ctx, network, address)
	}})
	if err != nil {
		return fmt.Errorf("rabbitmq: %w", err)
	}
	channel, err := b.conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err == nil {
		_, err = channel.QueueDeclare(b.queue, true, false, false, false, nil)
	}
	if err != nil {
		return fmt.Errorf("rabbitmq: %w", err)
	}
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	b.publisher.Go(func() { b.publish(publishing, channel) })
	return s.Nodes[0].Put(ctx, "zato/main/connectors/"+b.queue, map[string]any{
		"name": b.queue, "kind": "amqp", "role": "channel", "service": "record", "url": url, "queue": b.queue, "max_attempts": 1000,
	})
}

func (b *broker) publish(ctx context.Context, channel *amqp091.Channel) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		message := fmt.Sprintf("%s-%d", b.queue, n)
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", b.queue, false, false, amqp091.Publishing{
			MessageId: message, DeliveryMode: amqp091.Persistent, Body: []byte(message),
		})
		if err == nil {
			_, err = confirmation.WaitContext(ctx)
		}
		b.mu.Lock()
		if err == nil {
			b.published = append(b.published, message)
		} else if ctx.Err() == nil {
			b.err = errors.Join(b.err, err)
		}
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sent are the messages that the broker has had until now.
func (b *broker) sent() (messages []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, fmt.Errorf("publishing to rabbitmq: %w", b.err)
	}
	return append(messages, b.published...), nil
}

func (b *broker) close() {
	if b.stop != nil {
		b.stop()
		b.publisher.Wait()
	}
	if b.conn != nil {
		_ = b.conn.Close() // what was confirmed is with the broker
	}
	b.node.Kill()
}

// allCome waits until each message that was published until now has come to a service: the broker gives those that somebody
// dead had in hand to another when it has missed him, which takes as long as its heartbeats.
func (s *stage) allCome(ctx context.Context) (messages int, err error) {
	sent, err := s.broker.sent()
	if err != nil {
		return 0, err
	}
	return len(sent), until(ctx, func(context.Context) error {
		effects, err := s.effects()
		if err != nil {
			return err
		}
		came := map[string]bool{}
		for _, e := range effects {
			came[e.Message] = true
		}
		missing := 0
		for _, message := range sent {
			if !came[message] {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d messages that the broker has confirmed have not come", missing, len(sent))
		}
		return nil
	})
}
