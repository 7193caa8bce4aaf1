// Package takeover breaks connector hosts under a steady stream of messages, and measures for how long no connector
// receives any, and whether ever two did.
//
// One case, connector-kill-host: Consul, the load balancer, three servers that note each message, and three connector
// hosts, of which one is active and runs three ZeroMQ channels that get 250 messages a second each. The active host gets
// SIGKILL, its children die with it, and another host takes over. The trial's figure is the longest time between two
// messages of a channel, of the channel that fared worst. Meanwhile a witness writes down which process was told to
// receive when, and when it died; package history is asked whether any two of a channel overlap and whether an epoch
// sinks, and of the messages whether one came under an epoch that was over. One such fault, and the trial fails.
package takeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"zatoha/bench/faults"
)

// Options say what is played, and with which programs.
type Options struct {
	Bin      string // folder with our programs, and the recorder
	Consul   string // path of Consul
	HAProxy  string // path of HAProxy
	RabbitMQ string // path of its own start script; "": the storm is left out
	Trials   int    // of each scenario; 0 for its own number
	Messages int    // of the storm; 0 for 100,000, or 10,000 if Short
	Short    bool   // two trials, and shorter faults
	Only     string // the scenarios whose names contain it; "" for all
	Progress io.Writer
}

// Outcome is what became of all scenarios.
type Outcome struct {
	Results []faults.Result
	Totals  Totals
}

// Totals are of the whole histories.
type Totals struct {
	Runs, Messages, Repeated, Tenures int
	Faults                            []string // of the histories, of which there should be none
	Storms                            []string // what became of each
}

// Matches says whether there is a scenario with that in its name.
func Matches(only string) bool { return len(chosen(Options{Only: only, RabbitMQ: "there"})) > 0 }

// Names are those of the scenarios.
func Names() (names []string) {
	for _, s := range chosen(Options{RabbitMQ: "there"}) {
		names = append(names, s.name)
	}
	return names
}

// Run plays the scenarios one after the other. Its error is about what prevented that; a scenario that falls short says so
// in its result. When ctx ends, the results so far are returned with its error.
func Run(ctx context.Context, o Options) (outcome Outcome, err error) {
	all := chosen(o)
	if len(all) == 0 {
		return outcome, fmt.Errorf("no scenario has %q in its name; there are %s", o.Only, strings.Join(Names(), ", "))
	}
	var whole time.Duration
	for _, s := range all {
		fmt.Fprintf(o.Progress, "  %-24s %d trials, about %s: %s\n", s.name, s.trials, (time.Duration(s.trials) * s.takes).Round(time.Second), s.does)
		whole += time.Duration(s.trials) * s.takes
	}
	fmt.Fprintf(o.Progress, "%d scenarios of connectors, about %s in all\n", len(all), whole.Round(time.Second))
	t := &theatre{options: o, totals: &outcome.Totals}
	for _, s := range all {
		result, err := t.scenario(ctx, s)
		outcome.Results = append(outcome.Results, result)
		if err != nil {
			return outcome, errors.Join(fmt.Errorf("scenario %s: %w", s.name, err), t.strike(ctx))
		}
	}
	return outcome, t.strike(ctx)
}

// theatre has one scene at a time and keeps it from trial to trial as long as nothing goes wrong on it.
type theatre struct {
	options Options
	totals  *Totals
	now     *scene
}

func (t *theatre) scenario(ctx context.Context, s scenario) (faults.Result, error) {
	result := faults.Result{Name: s.name, Does: s.does, PassLine: s.passLine()}
	began := time.Now()
	for i := range s.trials {
		trial, err := t.trial(ctx, s, i)
		if err != nil {
			return result, err
		}
		fmt.Fprintf(t.options.Progress, "%-24s %d/%d  %s\n", s.name, i+1, s.trials, told(trial))
		result.Trials, result.Elapsed = append(result.Trials, trial), time.Since(began)
	}
	result.Failures = s.shortfall(result)
	return result, nil
}

// shortfall says in which respect all trials together fall short.
func (s scenario) shortfall(result faults.Result) []string {
	sample, in := sampleOf(result, s.ratioIs)
	if s.least == 0 || len(sample) > 0 && sample.Quantile(0.5)*float64(time.Millisecond) >= s.least*faults.One {
		return nil
	}
	return []string{fmt.Sprintf("the median of %s is %s, at least %.2f should be", s.ratioIs, text(sample, in, 0.5), s.least)}
}

// trial plays a scenario once. What goes wrong in it is a failure of the trial, and what keeps it from being played is an
// error.
func (t *theatre) trial(ctx context.Context, s scenario, number int) (faults.Trial, error) {
	if t.now != nil && t.now.stage != s.stage {
		if err := t.strike(ctx); err != nil {
			return faults.Trial{}, err
		}
	}
	if t.now == nil {
		built, err := build(ctx, t.options, s.stage)
		if err != nil {
			return faults.Trial{}, err
		}
		t.now = built
	}
	p := &play{scene: t.now, number: number}
	err := p.perform(ctx, s)
	if ctx.Err() != nil {
		return p.trial, ctx.Err()
	}
	if err != nil {
		p.fail("%v", err)
	}
	if len(p.trial.Failures) == 0 {
		return p.trial, nil
	}
	fmt.Fprintf(t.options.Progress, "the logs are kept in %s\n", t.now.dir)
	t.now.keep = true
	return p.trial, t.strike(ctx)
}

// strike takes the scene down, and adds up what its history was.
func (t *theatre) strike(ctx context.Context) error {
	if t.now == nil {
		return nil
	}
	s := t.now
	t.now = nil
	t.totals.add(s)
	return s.close(ctx)
}

func told(trial faults.Trial) string {
	var parts []string
	for _, m := range trial.Measured {
		parts = append(parts, m.What+" "+m.In.Text(m.Took))
	}
	if len(trial.Failures) > 0 {
		return strings.Join(parts, ", ") + "  FELL SHORT: " + strings.Join(trial.Failures, "; ")
	}
	return strings.Join(parts, ", ") + "  ok"
}
