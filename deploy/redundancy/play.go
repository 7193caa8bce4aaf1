package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/feed"
	"zatoha/bench/history"
	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/fleet"
)

// options say what is played, and with which programs.
type options struct {
	Bin, Consul, HAProxy, Keepalived string
	RabbitMQ                         string // "": there are no messages by AMQP

	Lighter           int // loads are that many times as light
	Partition, Outage time.Duration
	Advert            time.Duration

	experiment.Options
}

// lightness is how many times as light loads are: as times may be longer, and as was asked for besides. A machine that is
// too slow for the hosts that it is to be, with the load on them, has none that notices in time that another is gone.
func (o options) lightness() int { return max(o.Slack, 1) * max(o.Lighter, 1) }

// leaseTTL is as many times as long, too: no host keeps a lease on a machine that lets it wait for longer than that. It
// is 0, for the default, without slack.
func (o options) leaseTTL() time.Duration {
	if o.Slack <= 1 {
		return 0
	}
	return time.Duration(o.Slack) * time.Second
}

// scenario is one kind of fault.
type scenario struct {
	name, does string
	on         scenery
	trials     int
	brief      bool // is in the short form too
	passLine   string
	fault      func(ctx context.Context, p *playing) error
}

// scenery is the hosts that a scenario is played on. Scenarios with the same one share it, one after the other.
type scenery struct {
	roles      []fleet.Role
	clusters   []fleet.Cluster // that are behind them
	fastGossip bool            // Consul's gossip is the one that is shipped
	messages   bool            // connectors get messages, which recorders note
}

// The times are generous: whatever takes longer is broken.
const (
	bound = 90 * time.Second
	// agents look every half minute for some of those that they have lost.
	rejoining = 4 * time.Minute
)

// settling is the time of load before a fault, and behind it.
const settling = 500 * time.Millisecond

// table is every scenario, in the order in which they are played.
func table(o options) []scenario {
	return slices.Concat(balancers(o), outers(), links(o), partitions(o))
}

// names are those of the scenarios.
func names() []string { return experiment.Names(scenarios(options{})) }

// scenarios are those that may be chosen: in the short form the brief ones, unless others are named.
func scenarios(o options) (all []experiment.Scenario[scenery, *stage]) {
	for _, s := range table(o) {
		if o.Short && len(o.Only) == 0 && !s.brief {
			continue
		}
		if o.Short {
			s.trials = 1
		}
		if n := o.lightness(); n > 1 {
			s.passLine += fmt.Sprintf(", loads 1/%d", n)
		}
		if ttl := o.leaseTTL(); ttl > 0 {
			s.passLine += fmt.Sprintf(", the lease's TTL %v", ttl)
		}
		all = append(all, experiment.Scenario[scenery, *stage]{
			Name: s.name, PassLine: s.passLine, Stage: s.on,
			Turn: experiment.Turn[*stage]{Does: s.does, Trials: s.trials, Play: s.play(o)},
		})
	}
	return all
}

// play plays the scenarios that the options ask for.
func play(ctx context.Context, o options) (experiment.Outcome, error) {
	theatre := experiment.Theatre[scenery, *stage]{
		Options: o.Options,
		Build: func(ctx context.Context, set scenery, dir string) (*stage, error) {
			s := &stage{dir: dir, lightness: o.lightness()}
			return s, s.build(ctx, o, set)
		},
	}
	return theatre.Run(ctx, scenarios(o))
}

// stage is a fleet, with the messages that connectors get on it.
type stage struct {
	*fleet.Fleet
	dir       string
	lightness int

	connectors []string   // by ZeroMQ; none without messages
	feed       *feed.Feed // nil without messages
	taken      taken
	notes      []*history.Tail // of each node's recorder
	noted      []history.Effect
	mail       *mail // nil without messages, or RabbitMQ
}

// build starts the hosts and all that runs on them.
func (s *stage) build(ctx context.Context, o options, set scenery) (err error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	s.Fleet, err = fleet.Start(ctx, fleet.Config{
		Bin: o.Bin, Consul: o.Consul, HAProxy: o.HAProxy, Keepalived: o.Keepalived, Dir: s.dir,
		Roles: set.roles, Clusters: set.clusters, Recorder: set.messages, Advert: o.Advert, FastGossip: set.fastGossip, LeaseTTL: o.leaseTTL(),
	})
	if err != nil {
		return fmt.Errorf("starting the hosts: %w", err)
	}
	if !set.messages {
		return nil
	}
	if o.RabbitMQ != "" {
		if err := s.startMail(ctx, o.RabbitMQ); err != nil {
			return err
		}
	}
	return s.connect(ctx)
}

// Close ends as much as there is.
func (s *stage) Close(context.Context) error {
	if s.feed != nil {
		s.feed.Close()
	}
	if s.mail != nil {
		s.mail.close()
	}
	if s.Fleet != nil {
		s.Fleet.Close()
	}
	return nil
}

// playing is a trial under way.
type playing struct {
	*stage
	*experiment.Trial
	options options
	loads   []*load.Running

	lost, taken int // messages by ZeroMQ
	kept        int // by AMQP
}

// play plays the scenario once, in as much time as anything may take.
func (s scenario) play(o options) func(context.Context, *stage, *experiment.Trial) error {
	return func(ctx context.Context, on *stage, trial *experiment.Trial) error {
		ctx, cancel := context.WithTimeout(ctx, 2*bound+rejoining+o.Partition+o.Outage)
		defer cancel()
		p := &playing{stage: on, Trial: trial, options: o}
		note := p.WatchProcessors(p.options.Lighter)
		err := p.perform(ctx, s)
		note()
		p.refused()
		if p.taken > 0 {
			p.Note("ZeroMQ lost %d of %d messages, in hand of processes that ended%s", p.lost, p.taken, p.byAMQP())
		}
		return err
	}
}

// byAMQP says what became of the messages by AMQP, if there were any.
func (p *playing) byAMQP() string {
	if p.mail == nil {
		return ""
	}
	return fmt.Sprintf("; AMQP 0 of %d", p.kept)
}

// perform plays a scenario once on a fleet that is whole before and after it.
func (p *playing) perform(ctx context.Context, s scenario) (err error) {
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	defer func() {
		for _, running := range p.loads {
			running.Stop()
		}
	}()
	if err := s.fault(ctx, p); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	return nil
}

func (p *playing) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, rejoining)
	defer cancel()
	return p.Whole(ctx)
}

// until asks for a condition for as long as anything may take.
func until(ctx context.Context, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return fleet.Until(ctx, condition)
}

var (
	get   = load.Get("/zato/ping")
	post  = load.Post("/zato/ping", []byte(`{"what": "a request that may be executed but once"}`))
	keyed = load.Template{Method: http.MethodPost, Path: "/zato/ping", Body: post.Body, IDHeader: "Idempotency-Key"}
)

// What each load has.
const (
	clients = 16
	rps     = 300 // requests a second
)

// ask begins to send requests from the client's host to an address, and lets that run for a moment.
func (p *playing) ask(ctx context.Context, address string, templates ...load.Template) (*load.Running, error) {
	running, err := load.Start(ctx, load.Options{Addr: address, Connections: clients, Rate: rps / float64(p.lightness), Templates: templates, Dial: p.Client.Dial})
	if err != nil {
		return nil, err
	}
	p.loads = append(p.loads, running)
	return running, nil
}

// answered ends a load, and adds it to the trial's.
func (p *playing) answered(ctx context.Context, running *load.Running) (load.Report, error) {
	if err := pause.For(ctx, settling); err != nil {
		return load.Report{}, err
	}
	report := running.Stop()
	reports := []load.Report{report}
	if p.Load.Requests > 0 {
		reports = append(reports, p.Load)
	}
	p.Load = load.Sum(reports)
	if report.Requests == 0 {
		p.Fail("no request was made")
	}
	return report, nil
}

// flawless ends a load that may have no failed request.
func (p *playing) flawless(ctx context.Context, what string, running *load.Running) error {
	report, err := p.answered(ctx, running)
	if n := report.Errors(); n > 0 {
		p.Fail("%s: %d requests failed: %s", what, n, report)
	}
	return err
}

// refused holds it against the trial when a program lacked a right in Consul.
func (p *playing) refused() {
	lines, err := p.Refused()
	if err != nil {
		p.Fail("%v", err)
	}
	for _, line := range lines {
		p.Fail("a right is lacking: %s", line)
	}
}
