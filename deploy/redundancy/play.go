package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"zatoha/bench/faults"
	"zatoha/bench/feed"
	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/fleet"
)

// options say what is played, and with which programs.
type options struct {
	Bin, Consul, HAProxy, Keepalived string
	RabbitMQ                         string // "": there are no messages by AMQP

	Trials            int // of each scenario; 0 for its own number
	Short             bool
	Only              string
	Slack             int // bounds of time are that many times as wide
	Partition, Outage time.Duration
	Advert            time.Duration
	Progress          io.Writer
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
	fastGossip bool // Consul's gossip is the one that is shipped
	messages   bool // connectors get messages, which recorders note
}

// The times are generous: whatever takes longer is broken.
const (
	bound = 90 * time.Second
	// agents look every half minute for some of those that they have lost.
	rejoining = 4 * time.Minute
)

// settling is the time of load before a fault, and behind it.
const settling = 500 * time.Millisecond

func matches(only string) bool {
	return slices.ContainsFunc(names(), func(name string) bool { return strings.Contains(name, only) })
}

func names() (all []string) {
	for _, s := range scenarios(options{}) {
		all = append(all, s.name)
	}
	return all
}

// scenarios are all of them, in the order in which they are played.
func scenarios(o options) []scenario {
	return slices.Concat(balancers(o), partitions(o))
}

// play plays the chosen scenarios. Its error is about what prevented that; what falls short says so in its result.
func play(ctx context.Context, o options) (results []faults.Result, err error) {
	t := &theatre{options: o}
	defer func() { err = errors.Join(err, t.strike(false)) }()
	for _, s := range scenarios(o) {
		if !strings.Contains(s.name, o.Only) || o.Short && o.Only == "" && !s.brief {
			continue
		}
		result := faults.Result{Name: s.name, Does: s.does, PassLine: s.passLine}
		began := time.Now()
		trials := s.trials
		if o.Short {
			trials = 1
		}
		if o.Trials > 0 {
			trials = o.Trials
		}
		for i := range trials {
			trial, notes, err := t.trial(ctx, s, i)
			if err != nil {
				return results, fmt.Errorf("scenario %s: %w", s.name, err)
			}
			fmt.Fprintf(o.Progress, "%-28s %d/%d  %s\n", s.name, i+1, trials, told(trial, notes))
			result.Trials, result.Elapsed = append(result.Trials, trial), time.Since(began)
		}
		results = append(results, result)
	}
	return results, nil
}

// theatre has one fleet at a time, and keeps it from trial to trial as long as nothing goes wrong on it.
type theatre struct {
	options options
	set     string // of the fleet
	now     *stage
}

// stage is a fleet, with the messages that connectors get on it.
type stage struct {
	*fleet.Fleet
	dir string

	connectors []string   // by ZeroMQ; none without messages
	feed       *feed.Feed // nil without messages
	taken      taken
	mail       *mail // nil without messages, or RabbitMQ
}

func (t *theatre) trial(ctx context.Context, s scenario, number int) (_ faults.Trial, notes []string, err error) {
	if err := t.dress(ctx, s.on); err != nil {
		return faults.Trial{}, nil, err
	}
	p := &playing{stage: t.now, number: number, options: t.options}
	timed, cancel := context.WithTimeout(ctx, 2*bound+rejoining+t.options.Partition+t.options.Outage)
	defer cancel()
	err = p.perform(timed, s)
	if ctx.Err() != nil {
		return p.trial, nil, ctx.Err()
	}
	if err != nil {
		p.fail("%v", err)
	}
	p.refused()
	if p.taken > 0 {
		p.notes = append(p.notes, fmt.Sprintf("ZeroMQ lost %d of %d messages, in hand of processes that ended; AMQP 0 of %d", p.lost, p.taken, p.kept))
	}
	if len(p.trial.Failures) == 0 {
		return p.trial, p.notes, nil
	}
	fmt.Fprintf(t.options.Progress, "the logs are kept in %s\n", t.now.LogDir())
	return p.trial, p.notes, t.strike(true)
}

// dress has the right fleet up and whole.
func (t *theatre) dress(ctx context.Context, set scenery) error {
	name := fmt.Sprintf("%+v", set)
	if t.now != nil && t.set == name {
		return nil
	}
	if err := t.strike(false); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "zatoha") // short, for Unix sockets
	if err != nil {
		return err
	}
	o := t.options
	starting, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	f, err := fleet.Start(starting, fleet.Config{
		Bin: o.Bin, Consul: o.Consul, HAProxy: o.HAProxy, Keepalived: o.Keepalived, Dir: dir,
		Roles: set.roles, Recorder: set.messages, Advert: o.Advert, FastGossip: set.fastGossip,
	})
	if err != nil {
		return fmt.Errorf("starting the hosts: %w (the logs are kept in %s)", err, dir)
	}
	t.now, t.set = &stage{Fleet: f, dir: dir}, name
	if !set.messages {
		return nil
	}
	if o.RabbitMQ != "" {
		if err := t.now.startMail(starting, o.RabbitMQ); err != nil {
			return err
		}
	}
	return t.now.connect(starting)
}

// strike takes the fleet down.
func (t *theatre) strike(keep bool) error {
	if t.now == nil {
		return nil
	}
	s := t.now
	t.now = nil
	if s.feed != nil {
		s.feed.Close()
	}
	if s.mail != nil {
		s.mail.close()
	}
	s.Close()
	if keep {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// playing is a trial under way.
type playing struct {
	*stage
	number  int // from 0
	options options
	trial   faults.Trial
	loads   []*load.Running
	notes   []string // that tell more, and are no failures

	lost, taken int // messages by ZeroMQ
	kept        int // by AMQP
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
	get  = load.Get("/zato/ping")
	post = load.Post("/zato/ping", []byte(`{"what": "a request that may be executed but once"}`))
)

const clients = 16 // of each load

// ask begins to send requests from the client's host to an address, and lets that run for a moment.
func (p *playing) ask(ctx context.Context, address string, templates ...load.Template) (*load.Running, error) {
	running, err := load.Start(ctx, load.Options{Addr: address, Connections: clients, Rate: 300, Templates: templates, Dial: p.Client.Dial})
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
	if p.trial.Load.Requests > 0 {
		reports = append(reports, p.trial.Load)
	}
	p.trial.Load = load.Sum(reports)
	if report.Requests == 0 {
		p.fail("no request was made")
	}
	return report, nil
}

// flawless ends a load that may have no failed request.
func (p *playing) flawless(ctx context.Context, what string, running *load.Running) error {
	report, err := p.answered(ctx, running)
	if n := report.Errors(); n > 0 {
		p.fail("%s: %d requests failed: %s", what, n, report)
	}
	return err
}

// measured notes a time, and that it was too long; a limit of 0 is none.
func (p *playing) measured(what string, took, limit time.Duration) {
	limit *= time.Duration(p.options.Slack)
	p.trial.Measured = append(p.trial.Measured, faults.Measured{What: what, Took: took, Limit: limit})
	if limit > 0 && took > limit {
		p.fail("%s took %s, at most %s may be", what, faults.Readable(took), faults.Readable(limit))
	}
}

func (p *playing) fail(format string, args ...any) {
	p.trial.Failures = append(p.trial.Failures, fmt.Sprintf(format, args...))
}

// refused holds it against the trial when a program lacked a right in Consul.
func (p *playing) refused() {
	lines, err := p.Refused()
	if err != nil {
		p.fail("%v", err)
	}
	for _, line := range lines {
		p.fail("a right is lacking: %s", line)
	}
}

func told(trial faults.Trial, notes []string) string {
	var parts []string
	for _, m := range trial.Measured {
		parts = append(parts, m.What+" "+faults.Readable(m.Took))
	}
	if trial.Load.Requests > 0 {
		parts = append(parts, fmt.Sprintf("%d requests, %d failed, worst %s", trial.Load.Requests, trial.Load.Errors(), faults.Readable(trial.Load.Latency.Worst)))
	}
	parts = append(parts, notes...)
	verdict := "ok"
	if len(trial.Failures) > 0 {
		verdict = "FELL SHORT: " + strings.Join(trial.Failures, "; ")
	}
	return strings.Join(parts, ", ") + "  " + verdict
}
