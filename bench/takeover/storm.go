package takeover

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/history"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

const (
	stormy        = "storm" // the connector, and its queue
	ordered       = "ordered"
	prefetch      = 20
	batch         = 50 // messages at once
	betweenFaults = 2 * time.Second
	stalled       = 30 * time.Second // without a new message, after which what is missing is lost
)

// withBroker plays with a RabbitMQ that is there for as long.
func withBroker(rabbitMQ string, act func(context.Context, *play, *broker.Broker) error) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) (err error) {
		b, err := broker.Start(ctx, rabbitMQ, p.dir)
		if b != nil {
			defer func() { err = errors.Join(err, b.Stop(ctx)) }()
		}
		if err != nil {
			return err
		}
		return act(ctx, p, b)
	}
}

// storm has messages come by AMQP while everything that can fail does, one after the other: the active host, the
// connector's process, servers, and the broker. None may be lost.
func storm(rabbitMQ string, messages int) func(context.Context, *play) error {
	return withBroker(rabbitMQ, func(ctx context.Context, p *play, b *broker.Broker) error {
		p.forget(stormy)
		source := &broker.Publisher{Broker: b, Queue: stormy, Messages: messages, Batch: batch}
		publishing, stop := context.WithCancel(ctx)
		published := make(chan error, 1)
		go func() { published <- source.Run(publishing) }()
		ended := false
		defer func() {
			stop()
			if !ended {
				<-published
			}
		}()
		if err := p.consume(ctx, b, stormy, "record.slowly", prefetch); err != nil {
			return err
		}
		faults := 0
		for !ended {
			select {
			case err := <-published:
				ended = true
				if err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(betweenFaults):
				if err := p.strike(ctx, faults, b, stormy); err != nil {
					return fmt.Errorf("fault %d of the storm: %w", faults+1, err)
				}
				faults++
			}
		}
		arrived, err := p.calm(ctx, stormy, messages)
		if err != nil {
			return err
		}
		p.weigh(source, faults, arrived, p.dropped(ctx))
		return p.remove(ctx, stormy)
	})
}

// order has one consumer with a prefetch of 1 receive messages that wait in a queue, while the same things fail. They
// have to come in their order.
func order(rabbitMQ string, messages int) func(context.Context, *play) error {
	return withBroker(rabbitMQ, func(ctx context.Context, p *play, b *broker.Broker) error {
		source := &broker.Publisher{Broker: b, Queue: ordered, Messages: messages, Batch: batch, Every: broker.Hurried}
		if err := source.Run(ctx); err != nil {
			return err
		}
		p.forget(ordered)
		if err := p.consume(ctx, b, ordered, "record.slowly", 1); err != nil {
			return err
		}
		faults := 0
		for p.count(ordered) < messages*9/10 { // the last ones come in peace
			if err := pause.For(ctx, betweenFaults); err != nil {
				return err
			}
			if err := p.strike(ctx, faults, b, ordered); err != nil {
				return fmt.Errorf("fault %d: %w", faults+1, err)
			}
			faults++
			if err := p.read(); err != nil {
				return err
			}
		}
		arrived, err := p.calm(ctx, ordered, messages)
		if err != nil {
			return err
		}
		out := history.CheckOrder(p.effects, ordered, source.Number)
		again, wrong := history.CheckRepeated(p.effects, ordered, source.Twice)
		for _, fault := range append(out, wrong...) {
			p.Fail("%s", fault)
		}
		p.Note("in order: %d messages by AMQP to one consumer with prefetch 1 through %d faults: %d lost, %d out of their place, %d ran twice, "+
			"%d of these not marked redelivered, and %d in the process that had run it", messages, faults, messages-arrived, len(out), again,
			history.Count(wrong, history.Unmarked), history.Count(wrong, history.RanTwice))
		if arrived < messages {
			p.Fail("%d of %d messages are lost", messages-arrived, messages)
		}
		if again > faults {
			p.Fail("%d messages ran twice, with %d in flight at the faults", again, faults)
		}
		return p.remove(ctx, ordered)
	})
}

// consume defines a channel that receives from the queue of its name.
func (p *play) consume(ctx context.Context, b *broker.Broker, name, service string, prefetch int) error {
	return p.put(ctx, name, map[string]any{
		"kind": "amqp", "role": "channel", "service": service, "url": b.URL(), "queue": name, "prefetch_count": prefetch,
	})
}

// strike does the next thing that can happen.
func (p *play) strike(ctx context.Context, n int, b *broker.Broker, name string) (err error) {
	if err := p.until(ctx, func(ctx context.Context) (err error) {
		p.holder, p.before, err = p.active(ctx)
		return err
	}); err != nil {
		return err
	}
	p.began = time.Now()
	switch n % 4 {
	case 0:
		return killHost(ctx, p)
	case 1:
		if pid := processes(p.before)[name]; pid != 0 {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		return err
	case 2:
		i := n / 4 % servers
		p.servers[i].Kill()
		if err := pause.For(ctx, settling); err != nil {
			return err
		}
		return p.launchServer(i)
	default:
		if err := b.Stop(ctx); err != nil {
			return err
		}
		return b.Start(ctx)
	}
}

// calm waits until all messages have come, or no more do, and counts those that came.
func (p *play) calm(ctx context.Context, name string, messages int) (arrived int, err error) {
	last := time.Now()
	for arrived < messages && time.Since(last) < stalled {
		if err := pause.For(ctx, 4*pollInterval); err != nil {
			return arrived, err
		}
		if err := p.read(); err != nil {
			return arrived, err
		}
		if now := p.count(name); now > arrived {
			arrived, last = now, time.Now()
		}
	}
	return arrived, nil
}

// count is how many different messages of a connector have come.
func (p *play) count(name string) int {
	seen := map[string]bool{}
	for _, e := range p.effects {
		if e.Connector == name {
			seen[e.Message] = true
		}
	}
	return len(seen)
}

// dropped is how many messages the servers did not run because they had run them before, as far as those know that were
// not killed since.
func (p *play) dropped(ctx context.Context) (n int) {
	for _, place := range p.places {
		metrics, _ := cluster.ReadMetrics(ctx, place)
		n += int(metrics[`zato_server_invocations_total{what="duplicate"}`])
	}
	return n
}

// weigh holds the storm against its pass line.
func (p *play) weigh(source *broker.Publisher, faults, arrived, dropped int) {
	repeated, wrong := history.CheckRepeated(p.effects, stormy, source.Twice)
	p.Note("%d messages by AMQP through %d faults: %d lost, %d ran twice, of at most %d in flight at the faults, and %d of these not "+
		"marked redelivered or by another ID, and %d in the process that had run it; servers knew and dropped at least %d; %d may have been "+
		"published twice, and are not counted",
		source.Messages, faults, source.Messages-arrived, repeated, faults*prefetch, history.Count(wrong, history.Unmarked),
		history.Count(wrong, history.RanTwice), dropped, len(source.Resent))
	if arrived < source.Messages {
		p.Fail("%d of %d messages are lost", source.Messages-arrived, source.Messages)
	}
	if repeated > faults*prefetch {
		p.Fail("%d messages ran twice, with %d in flight at the faults", repeated, faults*prefetch)
	}
	for _, fault := range wrong {
		p.Fail("%s", fault)
	}
}

// forget drops what came of a connector in an earlier trial.
func (p *play) forget(name string) {
	kept := p.effects[:0]
	for _, e := range p.effects {
		if e.Connector != name {
			kept = append(kept, e)
		}
	}
	p.effects = kept
}
