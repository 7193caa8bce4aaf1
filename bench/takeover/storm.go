package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/pause"
)

const (
	stormy        = "storm" // the connector, and its queue
	prefetch      = 20
	batch         = 50 // messages at once
	betweenFaults = 2 * time.Second
	stalled       = 30 * time.Second // without a new message, after which what is missing is lost
)

// storm has messages come by AMQP while everything that can fail does, one after the other: the active host, the
// connector's process, servers, and the broker. None may be lost.
func storm(rabbitMQ string, messages int) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) (err error) {
		b, err := broker.Start(ctx, rabbitMQ, p.dir)
		if b != nil {
			defer func() { err = errors.Join(err, b.Stop(ctx)) }()
		}
		if err != nil {
			return err
		}
		source := &broker.Publisher{Broker: b, Queue: stormy, Messages: messages, Batch: batch, Resent: map[string]bool{}}
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
		if err := p.defineStorm(ctx, b); err != nil {
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
				if err := p.strike(ctx, faults, b); err != nil {
					return fmt.Errorf("fault %d of the storm: %w", faults+1, err)
				}
				faults++
			}
		}
		arrived, repeated, err := p.calm(ctx, source)
		if err != nil {
			return err
		}
		p.weigh(source, faults, arrived, repeated)
		return call(ctx, http.MethodDelete, "http://"+p.ConsulAddr+"/v1/kv/zato/main/connectors/"+stormy, nil, nil)
	}
}

func (p *play) defineStorm(ctx context.Context, b *broker.Broker) error {
	text, err := json.Marshal(map[string]any{
		"name": stormy, "kind": "amqp", "role": "channel", "service": "record.slowly", "url": b.URL(), "queue": stormy, "prefetch_count": prefetch,
	})
	if err != nil {
		return err
	}
	return call(ctx, http.MethodPut, "http://"+p.ConsulAddr+"/v1/kv/zato/main/connectors/"+stormy, text, nil)
}

// strike does the next thing that can happen.
func (p *play) strike(ctx context.Context, n int, b *broker.Broker) (err error) {
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
		if pid := processes(p.before)[stormy]; pid != 0 {
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

// calm waits until all messages have come, or no more do. It counts those that came, and how often one came again that the
// broker had once.
func (p *play) calm(ctx context.Context, source *broker.Publisher) (arrived, repeated int, err error) {
	seen := map[string]bool{}
	looked, last := 0, time.Now()
	for arrived < source.Messages && time.Since(last) < stalled {
		if err := pause.For(ctx, 20*pollInterval); err != nil {
			return arrived, repeated, err
		}
		if err := p.read(); err != nil {
			return arrived, repeated, err
		}
		for _, e := range p.effects[looked:] {
			switch {
			case e.Connector != stormy:
			case !seen[e.Message]:
				seen[e.Message], last = true, time.Now()
				arrived++
			case !source.Resent[e.Message]:
				repeated++
			}
		}
		looked = len(p.effects)
	}
	return arrived, repeated, nil
}

// weigh holds the storm against its pass line.
func (p *play) weigh(source *broker.Publisher, faults, arrived, repeated int) {
	p.storms = append(p.storms, fmt.Sprintf("%d messages by AMQP through %d faults: %d lost, %d ran twice, of at most %d in flight at the faults; "+
		"%d may have been published twice, and are not counted", source.Messages, faults, source.Messages-arrived, repeated, faults*prefetch, len(source.Resent)))
	if arrived < source.Messages {
		p.fail("%d of %d messages are lost", source.Messages-arrived, source.Messages)
	}
	if repeated > faults*prefetch {
		p.fail("%d messages ran twice, with %d in flight at the faults", repeated, faults*prefetch)
	}
}
