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
	"fmt"

	"zatoha/bench/experiment"
)

// Options say what is played, and with which programs.
type Options struct {
	Bin      string // folder with our programs, and the recorder
	Consul   string // path of Consul
	HAProxy  string // path of HAProxy
	RabbitMQ string // path of its own start script; "": the storm is left out
	Messages int    // of the storm; 0 for 100,000, or 10,000 if Short
	Lighter  int    // ZeroMQ channels get so many times fewer messages; 0 is 1

	experiment.Options
}

// Run plays the scenarios that the options ask for. Faults in the history fail all of them together.
func Run(ctx context.Context, o Options) (experiment.Outcome, error) {
	totals := &totals{}
	theatre := experiment.Theatre[stage, *scene]{
		Options: o.Options, Attempts: attempts,
		Build: func(ctx context.Context, on stage, dir string) (*scene, error) {
			s := &scene{options: o, stage: on, dir: dir, totals: totals}
			return s, s.build(ctx)
		},
	}
	outcome, err := theatre.Run(ctx, scenarios(o))
	outcome.Also, outcome.Failures = totals.String(), totals.faults
	return outcome, err
}

// Names are those of the scenarios.
func Names() []string { return experiment.Names(scenarios(Options{RabbitMQ: "there"})) }

func scenarios(o Options) (all []experiment.Scenario[stage, *scene]) {
	for _, s := range table(o) {
		all = append(all, experiment.Scenario[stage, *scene]{
			Name: s.name, PassLine: s.passLine(), Stage: s.stage, Together: s.shortfall,
			Turn: experiment.Turn[*scene]{Does: s.does, Trials: s.trials, Takes: s.takes, Play: s.play},
		})
	}
	return all
}

// shortfall says in which respect all trials together fall short.
func (s scenario) shortfall(trials []experiment.Trial) []string {
	ratio := experiment.TimingOf(trials, s.ratioIs)
	median := ratio.Quantile(0.5)
	if s.least == 0 || float64(median) >= s.least*experiment.One {
		return nil
	}
	return []string{fmt.Sprintf("the median of %s is %s, at least %.2f should be", s.ratioIs, ratio.In.Text(median), s.least)}
}
