package takeover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/bench/broker"
	"zatoha/bench/experiment"
)

const (
	onePoison   = 100 // of so many messages
	maxAttempts = 3
	leastGood   = 0.9
	goodIs      = "good messages, of those without poison"
)

// poison compares how fast good messages come with one of a hundred poisoned, and without. The poisoned ones have to be
// tried as often as the definition says, and parked with the reason.
func poison(rabbitMQ string, messages int) func(context.Context, *play) error {
	return withBroker(rabbitMQ, func(ctx context.Context, p *play, b *broker.Broker) error {
		// The first is not counted: the broker is new, and slow.
		var rates [2]float64
		for turn, poisoned := range []int{0, p.Number % 2, 1 - p.Number%2, 1 - p.Number%2, p.Number % 2} {
			rate, err := p.goodRate(ctx, b, fmt.Sprintf("round-%d-%d", p.Number, turn), messages, poisoned == 1)
			if err != nil {
				return err
			}
			if turn > 0 {
				rates[poisoned] += rate / 2
			}
		}
		ratio := rates[1] / rates[0] // the median of all trials is judged: see leastGood
		p.Note("%d messages by AMQP, 1 %% poison: %.0f good ones a second, and %.0f without poison: %.3f of that", messages, rates[1], rates[0], ratio)
		p.Hold(experiment.Measured{What: goodIs, Took: time.Duration(ratio * experiment.One), In: experiment.Ratio})
		return nil
	})
}

// goodRate is how many good messages a second come, from the first to the last of them.
func (p *play) goodRate(ctx context.Context, b *broker.Broker, name string, messages int, poisoned bool) (float64, error) {
	good := messages
	text := func(n int) string { return fmt.Sprintf("good-%d", n) }
	if poisoned {
		good -= messages / onePoison
		text = func(n int) string {
			if n%onePoison == onePoison/2 {
				return fmt.Sprintf("poison-%d", n)
			}
			return fmt.Sprintf("good-%d", n)
		}
	}
	source := &broker.Publisher{Broker: b, Queue: name, Messages: messages, Batch: batch, Every: broker.Hurried, Text: text}
	if err := source.Run(ctx); err != nil {
		return 0, err
	}
	if err := p.put(ctx, name, map[string]any{
		"kind": "amqp", "role": "channel", "service": "record.unless-poison", "url": b.URL(), "queue": name, "prefetch_count": prefetch,
		"max_attempts": maxAttempts,
	}); err != nil {
		return 0, err
	}
	arrived, err := p.calm(ctx, name, messages)
	if err != nil {
		return 0, err
	}
	if arrived < messages {
		p.Fail("%d of %d messages are lost", messages-arrived, messages)
	}
	rate := p.rateOf(name, good)
	if poisoned {
		err = p.parked(ctx, b, name, messages/onePoison)
	}
	return rate, errors.Join(err, p.remove(ctx, name))
}

// rateOf is how many good messages of a connector came a second.
func (p *play) rateOf(name string, good int) float64 {
	var first, last time.Time
	for _, e := range p.effects {
		if e.Connector != name || !strings.HasPrefix(e.Message, "good-") {
			continue
		}
		if first.IsZero() || e.At.Before(first) {
			first = e.At
		}
		if e.At.After(last) {
			last = e.At
		}
	}
	return float64(good) / last.Sub(first).Seconds()
}

// parked waits until the poisoned messages are parked, and looks at each, and at how often it was tried.
func (p *play) parked(ctx context.Context, b *broker.Broker, name string, poisoned int) error {
	connection, channel, err := b.Dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	found := map[string]bool{}
	if err := p.until(ctx, func(context.Context) error {
		for {
			m, ok, err := channel.Get(name+".dead-letter", true)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			found[string(m.Body)] = true
			p.judgeParked(m)
		}
		if len(found) < poisoned {
			return fmt.Errorf("%d of %d messages are parked", len(found), poisoned)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := p.read(); err != nil {
		return err
	}
	calls := map[string]int{}
	for _, e := range p.effects {
		if e.Connector == name {
			calls[e.Message]++
		}
	}
	for message, n := range calls {
		if want := map[bool]int{true: maxAttempts, false: 1}[found[message]]; n != want {
			p.Fail("%s was called %d times, not %d", message, n, want)
		}
	}
	if len(found) != poisoned {
		p.Fail("%d messages are parked, not %d", len(found), poisoned)
	}
	return nil
}

// judgeParked fails the trial if a parked message does not say why it is there.
func (p *play) judgeParked(m amqp091.Delivery) {
	reason, _ := m.Headers["x-zatoha-reason"].(string)
	attempts, _ := m.Headers["x-zatoha-attempts"].(int64)
	if reason == "" || attempts != maxAttempts || !bytes.HasPrefix(m.Body, []byte("poison-")) {
		p.Fail("%.50s is parked after %d attempts, with the reason %q", m.Body, attempts, reason)
	}
}
