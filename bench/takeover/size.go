package takeover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/experiment"
	"zatoha/deploy/cluster"
)

const (
	mostStart  = 5 * time.Second
	mostMemory = 25_000_000 // bytes of an idle connector's process
)

// manyConnectors kills the active host, so that another takes over all its connectors. Then it starts a host where there
// is none.
func manyConnectors(ctx context.Context, p *play) error {
	if err := p.reserved(ctx); err != nil {
		return err
	}
	p.Measure("the others have a process ready for each after", time.Since(p.began), 0)
	p.began = time.Now()
	if err := killHost(ctx, p); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	p.silence("until others consume", p.names, 2500*time.Millisecond)
	for _, h := range p.hosts {
		h.process.Kill()
	}
	began := time.Now()
	first := p.hosts[p.Number%len(p.hosts)]
	if err := p.startHost(first); err != nil {
		return err
	}
	if err := p.until(ctx, func(ctx context.Context) error {
		r, err := first.said(ctx)
		if err == nil && r.Role != "active" {
			err = errors.New("it is not active")
		}
		if err == nil {
			err = allRun(r, len(p.names))
		}
		return err
	}); err != nil {
		return err
	}
	p.Measure("all run after a start", time.Since(began), mostStart)
	if err := p.until(ctx, func(context.Context) error { return p.heard(began, 0) }); err != nil {
		return err
	}
	for _, h := range p.hosts {
		if h != first {
			if err := p.startHost(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserved waits until every other host than the holder has a process ready for each connector.
func (p *play) reserved(ctx context.Context) error {
	return p.until(ctx, func(ctx context.Context) error {
		for _, h := range p.hosts {
			if h == p.holder {
				continue
			}
			metrics, err := cluster.ReadMetrics(ctx, h.address)
			if err != nil {
				return err
			}
			if n := int(metrics["zatoha_connectorhost_spare_processes"]); n < len(p.names) {
				return fmt.Errorf("%s has %d processes ready for %d connectors", h.id, n, len(p.names))
			}
		}
		return nil
	})
}

// memory reads how much the processes of idle connectors take: of a ZeroMQ channel, and of two by AMQP if there is a
// RabbitMQ.
func memory(rabbitMQ string) func(context.Context, *play) error {
	if rabbitMQ == "" {
		return func(ctx context.Context, p *play) error {
			return p.weighIdle(ctx, map[string]string{p.names[0]: "a ZeroMQ channel"})
		}
	}
	const channel, outgoing = "idle", "idle-out"
	return withBroker(rabbitMQ, func(ctx context.Context, p *play, b *broker.Broker) error {
		source := &broker.Publisher{Broker: b, Queue: channel, Messages: 1, Batch: batch, Every: broker.Hurried}
		if err := source.Run(ctx); err != nil { // which makes the queue
			return err
		}
		if err := p.consume(ctx, b, channel, "record", prefetch); err != nil {
			return err
		}
		if err := p.put(ctx, outgoing, map[string]any{"kind": "amqp", "role": "outgoing", "url": b.URL(), "routing_key": channel}); err != nil {
			return err
		}
		err := p.weighIdle(ctx, map[string]string{
			p.names[0]: "a ZeroMQ channel", channel: "an AMQP channel", outgoing: "an outgoing AMQP connector",
		})
		return errors.Join(err, p.remove(ctx, channel), p.remove(ctx, outgoing))
	})
}

// weighIdle measures the connectors named, when they and all others run: all that is in memory of their processes, also
// what those share.
func (p *play) weighIdle(ctx context.Context, idle map[string]string) error {
	r, err := p.allIdle(ctx, len(p.names)+len(idle)-1)
	if err != nil {
		return err
	}
	for name, pid := range processes(r) {
		what := idle[name]
		if what == "" {
			continue
		}
		size, err := resident(pid)
		if err != nil {
			return err
		}
		p.Hold(experiment.Measured{What: "memory of " + what, Took: size, Limit: mostMemory, In: experiment.Bytes})
	}
	return nil
}

// allIdle waits until the active host runs so many connectors.
func (p *play) allIdle(ctx context.Context, n int) (r cluster.HostStatus, err error) {
	err = p.until(ctx, func(ctx context.Context) (err error) {
		if _, r, err = p.active(ctx); err == nil {
			err = allRun(r, n)
		}
		return err
	})
	return r, err
}

// resident is how much of a process is in memory. As a duration it is what a trial notes.
func resident(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return time.Duration(kilobytes) << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
