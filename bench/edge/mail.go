package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/pause"
)

// mail is a stream of messages from a RabbitMQ, which a channel in each cluster takes from; nil if there is none.
type mail struct {
	broker  *broker.Broker
	source  *broker.Publisher
	cancel  context.CancelFunc
	ended   chan error
	over    bool
	defined []func(context.Context) error // to undo
}

const batch = 10 // messages every 80 ms

// send begins to send messages, and has both clusters receive.
func (p *play) send(ctx context.Context) (m *mail, err error) {
	if p.options.RabbitMQ == "" {
		return nil, nil
	}
	m = &mail{ended: make(chan error, 1), over: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.stop(ctx))
		}
	}()
	if m.broker, err = broker.Start(ctx, p.options.RabbitMQ, p.dir); err != nil {
		return m, err
	}
	queue := fmt.Sprintf("orders-%d-%d", p.Number, time.Now().UnixNano())
	m.source = &broker.Publisher{Broker: m.broker, Queue: queue, Messages: 1_000_000, Batch: batch}
	publishing, cancel := context.WithCancel(ctx)
	m.cancel, m.over = cancel, false
	go func() { m.ended <- m.source.Run(publishing) }()
	for _, c := range p.clusters {
		const key = "zato/main/connectors/orders"
		definition := map[string]any{
			"name": "orders", "kind": "amqp", "role": "channel", "service": "demo.log", "url": m.broker.URL(), "queue": queue,
		}
		if err := c.Write(ctx, key, definition); err != nil {
			return m, err
		}
		m.defined = append(m.defined, func(ctx context.Context) error {
			definition["is_active"] = false
			return c.Write(ctx, key, definition)
		})
	}
	return m, until(ctx, func(context.Context) error {
		arrived, err := p.arrived(queue)
		if err == nil && len(arrived) == 0 {
			err = errors.New("no message has come")
		}
		return err
	})
}

// weigh waits until every message has come, and counts.
func (p *play) weigh(ctx context.Context, m *mail) error {
	if m == nil {
		return nil
	}
	m.source.Finish()
	m.over = true
	if err := <-m.ended; err != nil {
		return err
	}
	sent, last, before := m.source.Sent(), time.Now(), 0
	for {
		arrived, err := p.arrived(m.source.Queue)
		if err != nil {
			return err
		}
		if len(arrived) > before {
			before, last = len(arrived), time.Now()
		}
		if len(arrived) >= sent || time.Since(last) > patience {
			p.count(m.source, arrived)
			return nil
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// count holds what has come against what was sent, and notes the longest time without a message of all that.
func (p *play) count(source *broker.Publisher, arrived map[string]arrival) {
	lost, twice := 0, 0
	var times []time.Time
	for n := range source.Sent() {
		a := arrived[source.Name(n)]
		switch {
		case len(a.at) == 0:
			lost++
		case len(a.at) > 1 && !source.Resent[source.Name(n)]:
			twice++
		}
		times = append(times, a.at...)
	}
	if lost > 0 {
		p.Fail("%d of %d messages are lost", lost, source.Sent())
	}
	p.Note("%d messages by AMQP: %d lost, %d ran twice", source.Sent(), lost, twice)
	p.Measure("longest without a message", longest(times), 0)
}

// arrival is when a message came, each time.
type arrival struct{ at []time.Time }

// arrived reads the servers' logs for the messages of a queue.
func (s *stage) arrived(queue string) (map[string]arrival, error) {
	paths, err := s.logs()
	if err != nil {
		return nil, err
	}
	all := map[string]arrival{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(text) {
			if !bytes.Contains(line, []byte(queue)) {
				continue
			}
			var said struct {
				Time    time.Time `json:"time"`
				Message string    `json:"message"`
				Payload string    `json:"payload"`
			}
			if json.Unmarshal(line, &said) == nil && said.Message == "a message has come" {
				all[said.Payload] = arrival{append(all[said.Payload].at, said.Time)}
			}
		}
	}
	return all, nil
}

// stop ends it, also when ctx has ended.
func (m *mail) stop(ctx context.Context) error {
	if m == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, undo := range m.defined {
		errs = append(errs, undo(ctx))
	}
	if m.cancel != nil {
		m.cancel()
	}
	if !m.over {
		<-m.ended
	}
	if m.broker != nil {
		errs = append(errs, m.broker.Stop(ctx))
	}
	return errors.Join(errs...)
}
