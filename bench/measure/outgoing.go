package measure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/bench/load"
	"zatoha/bench/report"
	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

// Broker says which RabbitMQ messages go through, and how the peer is started that sends or receives them as plainly as
// can be.
type Broker struct {
	RabbitMQ string   // path of its start script
	Peer     []string // command of a [Publisher] or a [Consumer], less its arguments
}

const (
	senders     = 32   // that post at the same time
	payloadSize = 256  // bytes
	besideBare  = 0.85 // least share of what a program with the library alone carries
)

// Outgoing measures how many messages a second a connector host takes at /outgoing/<name>, each answered when RabbitMQ
// has confirmed it, beside a [Publisher], by turns.
func Outgoing(ctx context.Context, o Options, b Broker) (outcome Outcome, err error) {
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
	page := report.New("Outgoing messages", o.Circumstances)
	page.Paragraph(fmt.Sprintf("POST of %d bytes over %d raw keep-alive connections, %s for each measurement, %d pairs for each kind of queue. "+
		"\"ours\" is a connector host, which hands each message to the connector's process and answers when RabbitMQ has confirmed it; "+
		"\"bare\" is a program of one process that answers the same POST and publishes by amqp091-go, persistent, mandatory and with "+
		"confirms, on one AMQP channel. The client, RabbitMQ and both share the cores.", payloadSize, senders, heat, o.Trials))
	var rows [][]string
	outcome = Outcome{Page: page, Passed: true}
	for _, kind := range []string{"classic", "quorum"} {
		ours, bare, err := l.pairs(ctx, o, b, url, kind)
		if err != nil {
			return outcome, err
		}
		rows = append(rows, outcome.beside(kind, ours.rate, bare.rate, ours.p99.text(0.5), bare.p99.text(0.5)))
	}
	page.Table([]string{
		"queue", "n", "ours/s (median)", "bare/s (median)", "ratio by pairs (median)", "(worst … best)", "p99 of ours (median)", "of bare", "target", "",
	}, rows)
	return outcome, nil
}

// beside adds a kind of queue, with the rates of each pair, to the outcome, and returns its row of the report, with what
// else is to be in it before the target.
func (o *Outcome) beside(kind string, ours, bare Sample, more ...string) (row []string) {
	speed := ratios(ours, bare)
	verdict := "PASS"
	if len(speed) == 0 || speed.Quantile(0.5) < besideBare {
		verdict, o.Passed = "**FAIL**", false
	}
	if o.Summary != "" {
		o.Summary += "; "
	}
	o.Summary += fmt.Sprintf("%s queue %.3f of bare (≥ %.2f), n = %d pairs", kind, speed.Quantile(0.5), besideBare, len(speed))
	row = []string{
		kind, fmt.Sprint(len(speed)), fmt.Sprintf("%.0f", ours.Quantile(0.5)), fmt.Sprintf("%.0f", bare.Quantile(0.5)),
		fmt.Sprintf("%.3f", speed.Quantile(0.5)), fmt.Sprintf("%.3f … %.3f", speed.Quantile(0), speed.Quantile(1)),
	}
	return append(append(row, more...), fmt.Sprintf("≥ %.2f", besideBare), verdict)
}

// rabbitMQ starts a broker of the lab's own.
func (l *lab) rabbitMQ(ctx context.Context, b Broker) (*cluster.RabbitMQNode, string, error) {
	address, err := freeport.Address()
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	node, err := cluster.StartRabbitMQ(ctx, cluster.RabbitMQ{Binary: b.RabbitMQ, Dir: filepath.Join(l.dir, "rabbitmq"), Address: address})
	return node, "amqp://guest:guest@" + address + "/", err
}

// pairs measures both, by turns, with a queue of a kind.
func (l *lab) pairs(ctx context.Context, o Options, b Broker, url, kind string) (ours, bare *contender, err error) {
	queue := "bench-" + kind
	connection, err := amqp091.Dial(url)
	if err != nil {
		return nil, nil, err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return nil, nil, err
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-queue-type": kind}); err != nil {
		return nil, nil, err
	}
	free, err := cluster.FreeConfig(2)
	if err != nil {
		return nil, nil, err
	}
	ours, bare = &contender{name: "ours", front: free.Servers[0]}, &contender{name: "bare", front: free.Servers[1]}
	definition := map[string]any{"name": queue, "kind": "amqp", "role": "outgoing", "url": url, "routing_key": queue}
	if err := l.Write(ctx, "zato/main/connectors/"+queue, definition); err != nil {
		return nil, nil, err
	}
	host, err := l.Launch("host-"+kind, filepath.Join(l.Bin, "connectorhost"), "--id=host-"+kind, "--listen="+ours.front, "--lease-ttl=10s")
	if err != nil {
		return nil, nil, err
	}
	defer host.Kill()
	peer, err := l.Launch("peer-"+kind, b.Peer[0], append(b.Peer[1:], "--listen="+bare.front, "--url="+url, "--queue="+queue)...)
	if err != nil {
		return nil, nil, err
	}
	defer peer.Kill()
	both := []*contender{ours, bare}
	for _, c := range both {
		if err := c.accepts(ctx, "/outgoing/"+queue); err != nil {
			return nil, nil, err
		}
	}
	for i := range o.Trials {
		for j := range both {
			if err := both[(i+j)%2].post(ctx, "/outgoing/"+queue); err != nil {
				return nil, nil, err
			}
			if _, err := channel.QueuePurge(queue, false); err != nil {
				return nil, nil, err
			}
		}
		fmt.Fprintf(o.Progress, "%s pair %d/%d: ours %.0f/s, bare %.0f/s, ratio %.3f\n",
			kind, i+1, o.Trials, ours.rate[i], bare.rate[i], ours.rate[i]/bare.rate[i])
	}
	return ours, bare, nil
}

func message(path string) load.Template {
	t := load.Post(path, make([]byte, payloadSize))
	t.IDHeader = "X-Zato-Message-ID"
	t.Header = http.Header{"Content-Type": {"application/json"}}
	return t
}

// accepts waits until a message is confirmed.
func (c *contender) accepts(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		r, err := load.Run(ctx, load.Options{Addr: c.front, Connections: 1, Requests: 1, Templates: []load.Template{message(path)}})
		if err != nil || r.Requests > 0 && r.Errors() == 0 {
			return err
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s takes no message: %s: %w", c.name, r, err)
		}
	}
}

// post measures how many messages it takes.
func (c *contender) post(ctx context.Context, path string) error {
	for _, d := range []time.Duration{warmUp, heat} {
		during, cancel := context.WithTimeout(ctx, d)
		r, err := load.Run(during, load.Options{Addr: c.front, Connections: senders, Templates: []load.Template{message(path)}})
		cancel()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case r.Errors() > 0:
			return fmt.Errorf("%s: %s", c.name, r)
		case d == heat:
			c.rate = append(c.rate, float64(r.Requests)/r.Elapsed.Seconds())
			c.p99.add(r.Latency.P99)
		}
	}
	return nil
}
