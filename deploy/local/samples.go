package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// sample is a row of the table: connectors that a newcomer can try at once.
type sample struct{ what, where, try string }

const (
	sendPath    = "/sample/send" // of the channel by which the samples are sent to
	definitions = "zato/main/connectors/"
	sampleQueue = "zatoha.sample"
	// unused is how long RabbitMQ keeps the sample's queues when nobody uses them, in milliseconds.
	unused = 10 * 60 * 1000
)

// defineSamples writes a sample channel for ZeroMQ, and one for AMQP if there is a RabbitMQ, each with an outgoing
// connector that sends to it, and the HTTP channel by which one can have that done.
func defineSamples(ctx context.Context, c *cluster.Cluster, broker string) ([]sample, error) {
	if len(c.Hosts) == 0 {
		return nil, nil
	}
	send := map[string]any{"method": "POST", "path": sendPath, "service": "demo.send"}
	if err := c.Write(ctx, "zato/main/channels/sample-send", send); err != nil {
		return nil, err
	}
	zmq, err := sampleZMQ(ctx, c)
	if err != nil {
		return nil, err
	}
	if cluster.SpeaksAMQP(ctx, broker) != nil {
		return []sample{zmq}, nil
	}
	amqp, err := sampleAMQP(ctx, c, broker)
	return []sample{zmq, amqp}, err
}

// try is the line that sends by an outgoing connector.
func try(c *cluster.Cluster, kind, name string) string {
	return fmt.Sprintf(`curl -d '{"kind": "%s", "name": "%s", "payload": "hello"}' %s%s`, kind, name, url(c.Front), sendPath)
}

func sampleZMQ(ctx context.Context, c *cluster.Cluster) (sample, error) {
	address, err := freeport.Address()
	if err != nil {
		return sample{}, err
	}
	address = "tcp://" + address
	err = define(ctx, c, "sample-zmq", map[string]any{
		"kind": "zmq", "role": "channel", "service": "demo.log", "socket_type": "PULL", "socket_method": "bind", "address": address,
	}, map[string]any{
		"kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": address,
	})
	return sample{"sample ZeroMQ channel", address + " (PULL)", try(c, "zmq", "sample-zmq-out")}, err
}

// define writes a channel, and an outgoing connector that sends to it.
func define(ctx context.Context, c *cluster.Cluster, name string, channel, out map[string]any) error {
	channel["name"], out["name"] = name, name+"-out"
	if err := c.Write(ctx, definitions+name, channel); err != nil {
		return err
	}
	return c.Write(ctx, definitions+name+"-out", out)
}

func sampleAMQP(ctx context.Context, c *cluster.Cluster, broker string) (sample, error) {
	address := "amqp://guest:guest@" + broker + "/"
	if err := declare(address); err != nil {
		return sample{"no sample AMQP channel", broker, fmt.Sprintf("# RabbitMQ is there, but: %v", err)}, nil
	}
	err := define(ctx, c, "sample-amqp", map[string]any{
		"kind": "amqp", "role": "channel", "service": "demo.log", "url": address, "queue": sampleQueue,
	}, map[string]any{
		"kind": "amqp", "role": "outgoing", "url": address, "routing_key": sampleQueue,
	})
	return sample{"sample AMQP channel", broker + ", queue " + sampleQueue, try(c, "amqp", "sample-amqp-out")}, err
}

// declare makes the sample's queues, of which RabbitMQ forgets those that nobody has used for a while.
func declare(address string) error {
	connection, err := amqp091.DialConfig(address, amqp091.Config{Dial: amqp091.DefaultDial(2 * time.Second)})
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	for _, queue := range []string{sampleQueue, sampleQueue + ".dead-letter"} {
		if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-expires": int32(unused)}); err != nil {
			return err
		}
	}
	return nil
}
