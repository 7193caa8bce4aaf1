package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"zatoha/bench/measure"
	"zatoha/bench/peer"
	"zatoha/deploy/program"
	"zatoha/deploy/tools/find"
)

type propagationCommand struct {
	Trials int `short:"n" default:"200" help:"Registrations and deregistrations at each size."`
}

// Run is `bench propagation`.
func (p *propagationCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	found.fabio = seek(peer.FabioName, find.FindFabio)
	return g.takeWith(ctx, found, "propagation", p.Trials, measure.Propagation)
}

type throughputCommand struct {
	Trials int `short:"n" default:"30" help:"Trials, each with programs started anew."`
}

// Run is `bench throughput`.
func (t *throughputCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	return g.take(ctx, "throughput", t.Trials, measure.Throughput)
}

type latencyCommand struct {
	Trials int   `short:"n" default:"5" help:"Rounds."`
	Rates  []int `default:"500,1000,2000,4000" help:"Requests a second."`
}

// Run is `bench latency`.
func (l *latencyCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	for _, rate := range l.Rates {
		if rate < 1 {
			return fmt.Errorf("--rates: %d: must be at least 1", rate)
		}
	}
	return g.take(ctx, "latency", l.Trials, func(ctx context.Context, o measure.Options) (measure.Outcome, error) {
		return measure.Latency(ctx, o, l.Rates)
	})
}

type scaleCommand struct {
	Trials int   `short:"n" default:"50" help:"Changes at each size."`
	Sizes  []int `default:"100,1000,5000" help:"Numbers of instances."`
}

// Run is `bench scale`.
func (s *scaleCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	return g.take(ctx, "scale", s.Trials, func(ctx context.Context, o measure.Options) (measure.Outcome, error) {
		return measure.Scale(ctx, o, s.Sizes)
	})
}

type outgoingCommand struct {
	Trials int `short:"n" default:"15" help:"Pairs for each kind of queue."`
}

// Run is `bench outgoing`.
func (c *outgoingCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	return g.takeMessages(ctx, "outgoing", c.Trials, "publisher", measure.Outgoing)
}

type channelCommand struct {
	Trials int `short:"n" default:"15" help:"Pairs for each kind of queue."`
}

// Run is `bench channel`.
func (c *channelCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	return g.takeMessages(ctx, "channel", c.Trials, "consumer", measure.Channel)
}

// takeMessages takes figures of messages through a RabbitMQ, beside the peer that one of our commands is.
func (g *grammar) takeMessages(
	ctx context.Context, name string, trials int, peer string, figures func(context.Context, measure.Options, measure.Broker) (measure.Outcome, error),
) error {
	rabbitMQ, err := find.FindRabbitMQ()
	if err != nil {
		return program.BadConfig("programs", err.Error(), "")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return g.take(ctx, name, trials, func(ctx context.Context, o measure.Options) (measure.Outcome, error) {
		return figures(ctx, o, measure.Broker{RabbitMQ: rabbitMQ, Peer: []string{self, peer}})
	})
}

type publisherCommand struct {
	Listen program.HostPort `required:"" help:"Address to serve on."`
	URL    string           `required:"" name:"url" help:"Address of the broker."`
	Queue  string           `required:"" help:"Queue to publish to."`
}

// Run is `bench publisher`.
func (p *publisherCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	return measure.Publisher(ctx, string(p.Listen), p.URL, p.Queue)
}

type consumerCommand struct {
	URL     string `required:"" name:"url" help:"Address of the broker."`
	Queue   string `required:"" help:"Queue to receive from."`
	Service string `required:"" placeholder:"URL" help:"Where to post each message."`
}

// Run is `bench consumer`.
func (c *consumerCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	return measure.Consumer(ctx, c.URL, c.Queue, c.Service)
}

type figures = func(context.Context, measure.Options) (measure.Outcome, error)

// take looks for the programs and takes the figures with them.
func (g *grammar) take(ctx context.Context, name string, trials int, figures figures) error {
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	return g.takeWith(ctx, found, name, trials, figures)
}

// takeWith takes the figures with these programs, writes the report and prints the verdict. Without a report there is
// nothing that could pass, not even if somebody has interrupted it.
func (g *grammar) takeWith(ctx context.Context, found programs, name string, trials int, figures figures) (err error) {
	if trials < 1 {
		return fmt.Errorf("--trials: %d: must be at least 1", trials)
	}
	defer func() {
		if err != nil {
			g.fellShort = true
		}
	}()
	outcome, err := figures(ctx, measure.Options{
		Bin: g.Bin, Consul: found.consul, HAProxy: found.haproxy, Fabio: found.fabio, Trials: trials, Progress: os.Stdout,
		Circumstances: circumstances(ctx, found),
	})
	if err != nil {
		return err
	}
	path, err := outcome.Page.Write(g.Out, name)
	if err != nil {
		return err
	}
	fmt.Println("the report is in", path)
	g.verdict(outcome.Passed, "%s: %s", name, outcome.Summary)
	return nil
}
