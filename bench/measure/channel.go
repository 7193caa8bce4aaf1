package measure

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/bench/pause"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
)

const (
	inFlight = 20     // messages that the broker hands out before one is acknowledged
	waiting  = 12_000 // messages that wait in the queue when a measurement begins
	warming  = 2_000  // of them, which come before it counts
)

// Channel measures how many messages a second an AMQP channel receives, each of which it posts to a service and
// acknowledges behind the answer, beside a [Consumer], by turns.
func Channel(ctx context.Context, o Options, b Broker) (outcome Outcome, err error) {
	l, err := o.lab(ctx, 0)
	if err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	node, url, err := l.rabbitMQ(ctx, b)
	if err != nil {
		return outcome, err
	}
	defer node.Kill()
	service, err := newCounter()
	if err != nil {
		return outcome, err
	}
	defer service.close()
	var all []received
	for _, kind := range []string{"classic", "quorum"} {
		of, err := l.receive(ctx, o, b, url, kind, service)
		if err != nil {
			return outcome, err
		}
		all = append(all, of)
	}
	return o.compareReceived(all), nil
}

// received is what both received from a queue of a kind, in messages a second.
type received struct {
	kind       string
	ours, bare Sample
}

// receiver is one of the two that receive from the queue, which it does from its start until it is stopped.
type receiver struct {
	name  string
	start func() (stop func(context.Context) error, err error)
}

// receive measures both, by turns, with a queue of a kind.
func (l *lab) receive(ctx context.Context, o Options, b Broker, url, kind string, service *counter) (r received, err error) {
	r.kind = kind
	q, err := newStore(url, "bench-"+kind, kind)
	if err != nil {
		return r, err
	}
	defer q.close()
	free, err := cluster.FreeConfig(1)
	if err != nil {
		return r, err
	}
	host, err := l.Launch("host-"+kind, filepath.Join(l.Bin, "connectorhost"), "--id=host-"+kind, "--listen="+free.Servers[0],
		"--lease-ttl=10s", "--invoke-url="+service.address())
	if err != nil {
		return r, err
	}
	defer host.Kill()
	ours := receiver{"ours", func() (func(context.Context) error, error) {
		stop := func(ctx context.Context) error { return l.define(ctx, q, url, kind, false) }
		return stop, l.define(ctx, q, url, kind, true)
	}}
	bare := receiver{"bare", func() (func(context.Context) error, error) {
		peer, err := l.Launch("consumer-"+kind, b.Peer[0], append(b.Peer[1:], "--url="+url, "--queue="+q.name, "--service="+service.address()+called)...)
		if err != nil {
			return nil, err
		}
		return peer.Stop, nil
	}}
	for i := range o.Trials {
		both, rates := []receiver{ours, bare}, []*Sample{&r.ours, &r.bare}
		for j := range both {
			n := (i + j) % 2
			rate, err := q.drain(ctx, fmt.Sprintf("%d-%s", i, both[n].name), both[n], service)
			if err != nil {
				return r, fmt.Errorf("%s queue, %s: %w", kind, both[n].name, err)
			}
			*rates[n] = append(*rates[n], rate)
		}
		fmt.Fprintf(o.Progress, "%s pair %d/%d: ours %.0f/s, bare %.0f/s, ratio %.3f\n", kind, i+1, o.Trials, r.ours[i], r.bare[i], r.ours[i]/r.bare[i])
	}
	return r, nil
}

// define has the connector host receive from the queue, or stop doing so.
func (l *lab) define(ctx context.Context, q *store, url, kind string, active bool) error {
	return l.Write(ctx, "zato/main/connectors/"+q.name, map[string]any{
		"name": q.name, "kind": "amqp", "role": "channel", "service": "count", "is_active": active,
		"url": url, "queue": q.name, "queue_type": kind, "prefetch_count": inFlight,
	})
}

// store is a queue, which is filled before somebody empties it.
type store struct {
	name       string
	connection *amqp091.Connection
	channel    *amqp091.Channel
}

func newStore(url, name, kind string) (*store, error) {
	connection, err := amqp091.Dial(url)
	if err != nil {
		return nil, err
	}
	s := &store{name: name, connection: connection}
	if s.channel, err = connection.Channel(); err == nil {
		err = s.channel.Confirm(false)
	}
	if err == nil {
		_, err = s.channel.QueueDeclare(name, true, false, false, false, amqp091.Table{"x-queue-type": kind})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) close() { _ = s.connection.Close() } // the broker ends with it

// fill has messages wait in the queue, which begin with a mark.
func (s *store) fill(ctx context.Context, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	var confirmations []*amqp091.DeferredConfirmation
	for n := range waiting {
		c, err := s.channel.PublishWithDeferredConfirmWithContext(ctx, "", s.name, false, false, amqp091.Publishing{
			MessageId: fmt.Sprintf("%s-%d", mark, n), ContentType: "application/json", DeliveryMode: amqp091.Persistent, Body: make([]byte, payloadSize),
		})
		if err != nil {
			return err
		}
		confirmations = append(confirmations, c)
	}
	for _, c := range confirmations {
		if taken, err := c.WaitContext(ctx); err != nil || !taken {
			return fmt.Errorf("the broker has not confirmed all messages: %w", errors.Join(err, errRefused))
		}
	}
	return nil
}

var errRefused = errors.New("a message was refused, or its confirmation is late")

// drain measures how many messages a second a receiver takes from the full queue.
func (s *store) drain(ctx context.Context, mark string, by receiver, service *counter) (rate float64, err error) {
	if err := s.fill(ctx, mark); err != nil {
		return 0, err
	}
	count := service.expect(warming, waiting)
	stop, err := by.start()
	if err != nil {
		return 0, err
	}
	rate, err = count.rate(ctx)
	stopping, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return rate, errors.Join(err, stop(stopping), s.left(stopping))
}

// left waits until nobody receives from the queue. What of its messages is not acknowledged then was received in vain.
func (s *store) left(ctx context.Context) error {
	return pause.Until(ctx, 50*time.Millisecond, func(context.Context) error {
		q, err := s.channel.QueueDeclarePassive(s.name, true, false, false, false, nil)
		if err == nil && q.Consumers+q.Messages > 0 {
			err = fmt.Errorf("the queue still has %d consumers, and %d messages that are not acknowledged", q.Consumers, q.Messages)
		}
		return err
	})
}

// compareReceived is the report of all kinds of queues.
func (o Options) compareReceived(all []received) Outcome {
	page := report.New("Channels", o.Circumstances)
	page.Paragraph(fmt.Sprintf("%d messages of %d bytes wait in a queue of RabbitMQ, and are received with a prefetch of %d, %d pairs for each "+
		"kind of queue; the rate is that of the calls of the service, from number %d to the last. \"ours\" is a channel of a connector "+
		"host, in its process; \"bare\" is a program that receives by amqp091-go, makes the same HTTP call for each message, %[3]d at a "+
		"time, and acknowledges behind the answer. Both call a service that answers at once, without a load balancer, so that as little "+
		"as can be is the same for both. The service, RabbitMQ and both share the cores.", waiting, payloadSize, inFlight, o.Trials, warming))
	outcome := Outcome{Page: page, Passed: true}
	var rows [][]string
	chart := report.Chart{Title: "Messages per second, pair by pair", X: report.Axis{Label: "pair"}, Y: report.Axis{Label: "messages/s"}}
	for _, r := range all {
		rows = append(rows, outcome.beside(r.kind, r.ours, r.bare))
		chart.Series = append(chart.Series, series(r.kind+", ours", r.ours), series(r.kind+", bare", r.bare))
	}
	page.Table([]string{"queue", "n", "ours/s (median)", "bare/s (median)", "ratio by pairs (median)", "(worst … best)", "target", ""}, rows)
	page.Plot(chart)
	return outcome
}

// series are rates, round by round.
func series(name string, rates Sample) report.Series {
	s := report.Series{Name: name, Line: true}
	for i, rate := range rates {
		s.Points = append(s.Points, report.Point{X: float64(i + 1), Y: rate})
	}
	return s
}
