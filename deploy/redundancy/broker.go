package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"time"

	"zatoha/bench/broker"
	"zatoha/deploy/cluster"
)

// mail are numbered messages by AMQP, from a RabbitMQ on the client's host. It keeps each until a connector has
// acknowledged it, so that none may be lost, whatever dies.
type mail struct {
	*broker.Publisher
	stop  context.CancelFunc
	ended chan error
}

const publishEvery = 20 * time.Millisecond

// startMail starts a broker, begins to publish, and defines a connector.
func (s *stage) startMail(ctx context.Context, binary string) error {
	const queue = "a-1"
	b, err := broker.StartAs(ctx, cluster.RabbitMQ{
		Binary: binary, Dir: filepath.Join(s.dir, "rabbitmq"), Address: net.JoinHostPort(s.Client.Address.String(), "5672"),
		Config: []string{"loopback_users = none"}, Enter: s.Client.Enter, Dial: s.Client.Dial,
	})
	if err != nil {
		return err
	}
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.mail = &mail{
		Publisher: &broker.Publisher{Broker: b, Queue: queue, Messages: math.MaxInt, Batch: 1, Every: publishEvery * time.Duration(s.lightness)},
		stop:      stop, ended: make(chan error, 1),
	}
	go func() { s.mail.ended <- s.mail.Run(publishing) }()
	return s.Nodes[0].Put(ctx, "zato/main/connectors/"+queue, map[string]any{
		"name": queue, "kind": "amqp", "role": "channel", "service": "record", "url": b.URL(), "queue": queue, "max_attempts": 1000,
	})
}

func (m *mail) close() {
	m.stop()
	<-m.ended // it was stopped
	m.Broker.Kill()
}

// allCome waits until each message that was published until now has come to a service: the broker gives those that
// somebody dead had in hand to another when it has missed him, which takes as long as its heartbeats.
func (s *stage) allCome(ctx context.Context) (messages int, err error) {
	sent := s.mail.Sent()
	missing, looked := map[string]bool{}, 0
	for n := range sent {
		missing[s.mail.Name(n)] = true
	}
	return sent, until(ctx, func(context.Context) error {
		effects, err := s.effects()
		if err != nil {
			return err
		}
		for _, e := range effects[looked:] {
			delete(missing, e.Message)
		}
		if looked = len(effects); len(missing) > 0 {
			return fmt.Errorf("%d of %d messages that the broker has confirmed have not come", len(missing), sent)
		}
		return nil
	})
}
