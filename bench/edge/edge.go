// Package edge breaks whole clusters behind outer load balancers, takes them out and in, and upgrades them, under load, and
// counts what clients and messages suffer.
//
// One case, edge-kill: two clusters, each with its own Consul, load balancer, servers and connector hosts, stand behind two
// outer load balancers, at each of which half of 32 raw keep-alive connections ask for /zato/ping a thousand times a second
// in all. Every process of one cluster gets SIGKILL: the load balancer and its HAProxy first, then the servers and the
// rest. Requests on their way to it go on to the other cluster; none may fail, and none may take longer than two seconds.
// Then the cluster is started again, and gets requests when it has been well for a while; none may fail at that either.
//
// Another, edge-upgrade, is the rolling upgrade of deploy/README.md, step by step, while messages come by a RabbitMQ that
// both clusters receive from: no request may fail, no message be lost, and every program be of the new version at the end.
// There each cluster has three Consul servers, and an agent that its programs ask.
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"zatoha/bench/faults"
	"zatoha/bench/load"
)

// Options say what is played, and with which programs.
type Options struct {
	Bin      string // folder with our programs
	NextBin  string // folder with those of the next version
	Next     string // the version that they tell, or its beginning
	Consul   string // path of Consul
	HAProxy  string // path of HAProxy
	RabbitMQ string // path of its own start script; "": the upgrade is played without messages
	Trials   int    // of each scenario; 0 for its own number
	Short    bool   // one trial, and shorter faults
	Only     string // the scenarios whose names contain it, or one of several parted by commas; "" for all
	Progress io.Writer
}

// scenario is one thing that is done to a cluster, and what it may cost.
type scenario struct {
	name, does string
	standby    bool // the second cluster gets only what the first cannot take, and the first is what breaks
	quorum     bool // Consul has several servers in each cluster, and an agent that the programs ask
	trials     int
	takes      time.Duration // a trial, roughly
	load       []load.Template
	worst      time.Duration // of a request; 0 for any
	more       string        // of the pass line
	act        func(ctx context.Context, p *play) error
}

func (s scenario) passLine() string {
	line := "0 errors, 0 closes"
	if s.worst > 0 {
		line += ", worst ≤ " + faults.Readable(s.worst)
	}
	if s.more != "" {
		line += "; " + s.more
	}
	return line
}

// chosen are the scenarios that the options ask for.
func chosen(o Options) []scenario {
	n, spell := 10, 10*time.Second
	if o.Short {
		n, spell = 1, 2*time.Second
	}
	upgrades := max(n/3, 1)
	if o.Trials > 0 {
		n, upgrades = o.Trials, o.Trials
	}
	const (
		second = time.Second
		worst  = 2 * time.Second
	)
	all := []scenario{
		{
			name: "edge-kill", does: "SIGKILL every process of a cluster, HAProxy first; start it again", trials: n, takes: 7 * second,
			load: idempotent, worst: worst, act: killCluster,
		},
		{
			name: "edge-kill-servers", does: "SIGKILL all servers of a cluster, whose load balancer lives; start them again", trials: n, takes: 4 * second,
			load: idempotent, worst: worst, act: killServers,
		},
		{
			name: "edge-hang", does: fmt.Sprintf("SIGSTOP every process of a cluster for %v, then SIGCONT", spell), trials: n, takes: spell + 3*second,
			load: idempotent, worst: worst, act: hang(spell),
		},
		{
			name: "edge-drain", does: "edge drain a cluster, edge ready; POST without a key among the requests", trials: n, takes: 3 * second,
			load: mixed, act: drain,
		},
		{
			name: "edge-upgrade", does: "upgrade every program of both clusters and the outer load balancers, one cluster after the other", trials: upgrades, takes: 30 * second, quorum: true,
			load: mixed, act: upgrade, more: "0 messages lost; every program tells the new version",
		},
		{
			name: "edge-standby", does: "SIGKILL every process of the active cluster, with a standby; start it again", standby: true, trials: n, takes: 7 * second,
			load: idempotent, worst: worst, act: killCluster,
		},
		{
			name: "edge-standby-servers", does: "SIGKILL all servers of the active cluster, with a standby; start them again", standby: true, trials: n, takes: 4 * second,
			load: idempotent, worst: worst, act: killServers,
		},
	}
	return slices.DeleteFunc(all, func(s scenario) bool {
		return !slices.ContainsFunc(strings.Split(o.Only, ","), func(part string) bool { return strings.Contains(s.name, part) })
	})
}

// Run plays the scenarios one after the other. Its error is about what prevented that; a scenario that falls short says so
// in its result. When ctx ends, the results so far are returned with its error.
func Run(ctx context.Context, o Options) (results []faults.Result, err error) {
	all := chosen(o)
	if len(all) == 0 {
		var names []string
		for _, s := range chosen(Options{}) {
			names = append(names, s.name)
		}
		return nil, fmt.Errorf("no scenario has %q in its name; there are %s", o.Only, strings.Join(names, ", "))
	}
	var whole time.Duration
	for _, s := range all {
		fmt.Fprintf(o.Progress, "  %-20s %d trials, about %s: %s\n", s.name, s.trials, time.Duration(s.trials)*s.takes, s.does)
		whole += time.Duration(s.trials) * s.takes
	}
	fmt.Fprintf(o.Progress, "%d scenarios of whole clusters, about %s in all\n", len(all), whole)
	t := &theatre{options: o}
	for _, s := range all {
		result, err := t.scenario(ctx, s)
		results = append(results, result)
		if err != nil {
			return results, errors.Join(fmt.Errorf("scenario %s: %w", s.name, err), t.strike(ctx))
		}
	}
	return results, t.strike(ctx)
}

// theatre has one stage at a time and keeps it from trial to trial as long as nothing goes wrong on it.
type theatre struct {
	options Options
	now     *stage
}

func (t *theatre) scenario(ctx context.Context, s scenario) (faults.Result, error) {
	result := faults.Result{Name: s.name, Does: s.does, PassLine: s.passLine()}
	began := time.Now()
	for i := range s.trials {
		trial, err := t.trial(ctx, s, i)
		if err != nil {
			return result, err
		}
		fmt.Fprintf(t.options.Progress, "%-20s %d/%d  %s\n", s.name, i+1, s.trials, trial)
		result.Trials, result.Elapsed = append(result.Trials, trial), time.Since(began)
	}
	return result, nil
}

// trial plays a scenario once. What goes wrong in it is a failure of the trial, and what keeps it from being played is an
// error.
func (t *theatre) trial(ctx context.Context, s scenario, number int) (faults.Trial, error) {
	if t.now != nil && (t.now.standby != s.standby || t.now.quorum != s.quorum) {
		if err := t.strike(ctx); err != nil {
			return faults.Trial{}, err
		}
	}
	if t.now == nil {
		built, err := build(ctx, t.options, s.standby, s.quorum)
		if err != nil {
			return faults.Trial{}, err
		}
		t.now = built
	}
	p := &play{stage: t.now, number: number}
	if err := p.perform(ctx, s); err != nil {
		p.fail("%v", err)
	}
	if ctx.Err() != nil {
		return p.trial, ctx.Err()
	}
	s.judge(p)
	if len(p.trial.Failures) == 0 {
		return p.trial, nil
	}
	fmt.Fprintf(t.options.Progress, "the logs are kept in %s\n", t.now.dir)
	t.now.keep = true
	return p.trial, t.strike(ctx) // what is left is no place for another trial
}

func (t *theatre) strike(ctx context.Context) error {
	if t.now == nil {
		return nil
	}
	s := t.now
	t.now = nil
	return s.close(ctx)
}
