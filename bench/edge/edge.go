// Package edge breaks whole clusters behind outer load balancers, takes them out and in, and upgrades them, under load,
// and counts what clients and messages suffer.
//
// One case, edge-kill: two clusters, each with its own Consul, load balancer, servers and connector hosts, stand behind
// two outer load balancers, at each of which half of 32 raw keep-alive connections ask for /zato/ping a thousand times a
// second in all. Every process of one cluster gets SIGKILL: the load balancer and its HAProxy first, then the servers and
// the rest. Requests on their way to it go on to the other cluster; none may fail, and none may take longer than two
// seconds. Then the cluster is started again, and gets requests when it has been well for a while; none may fail at that
// either.
//
// Another, edge-upgrade, is the rolling upgrade of deploy/README.md, step by step, while messages come by a RabbitMQ that
// both clusters receive from: no request may fail, no message be lost, and every program be of the new version at the
// end. There each cluster has three Consul servers, and an agent that its programs ask.
package edge

import (
	"context"
	"fmt"
	"time"

	"zatoha/bench/experiment"
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

	experiment.Options
}

// scenario is one thing that is done to a cluster, and what it may cost.
type scenario struct {
	name, does string
	on         scenery
	trials     int
	takes      time.Duration // a trial, roughly
	load       []load.Template
	worst      time.Duration // of a request; 0 for any
	more       string        // of the pass line
	act        func(ctx context.Context, p *play) error
}

// scenery is how both clusters are built. Scenarios with the same one share it, one after the other.
type scenery struct {
	standby bool // the second cluster gets only what the first cannot take, and the first is what breaks
	quorum  bool // Consul has several servers in each cluster, and an agent that the programs ask
}

func (s scenario) passLine() string {
	line := "0 errors, 0 closes"
	if s.worst > 0 {
		line += ", worst ≤ " + experiment.Readable(s.worst)
	}
	if s.more != "" {
		line += "; " + s.more
	}
	return line
}

// upgraded is what an upgrade is held against besides its load. Messages are counted where there is a RabbitMQ.
func (o Options) upgraded() string {
	const version = "every program tells the new version"
	if o.RabbitMQ == "" {
		return version
	}
	return "0 messages lost; " + version
}

// table is every scenario.
func table(o Options) []scenario {
	n, spell := 10, 10*time.Second
	if o.Short {
		n, spell = 1, 2*time.Second
	}
	upgrades := max(n/3, 1)
	const (
		second = time.Second
		worst  = 2 * time.Second
	)
	return []scenario{
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
			name: "edge-upgrade", does: "upgrade every program of both clusters and the outer load balancers, one cluster after the other", trials: upgrades, takes: 30 * second, on: scenery{quorum: true},
			load: mixed, act: upgrade, more: o.upgraded(),
		},
		{
			name: "edge-standby", does: "SIGKILL every process of the active cluster, with a standby; start it again", on: scenery{standby: true}, trials: n, takes: 7 * second,
			load: idempotent, worst: worst, act: killCluster,
		},
		{
			name: "edge-standby-servers", does: "SIGKILL all servers of the active cluster, with a standby; start them again", on: scenery{standby: true}, trials: n, takes: 4 * second,
			load: idempotent, worst: worst, act: killServers,
		},
	}
}

// Run plays the scenarios that the options ask for.
func Run(ctx context.Context, o Options) (experiment.Outcome, error) {
	theatre := experiment.Theatre[scenery, *stage]{
		Options: o.Options, Attempts: attempts,
		Build: func(ctx context.Context, set scenery, dir string) (*stage, error) {
			s := &stage{options: o, scenery: set, dir: dir}
			return s, s.build(ctx)
		},
	}
	return theatre.Run(ctx, scenarios(o))
}

// Names are those of the scenarios.
func Names() []string { return experiment.Names(scenarios(Options{})) }

func scenarios(o Options) (all []experiment.Scenario[scenery, *stage]) {
	for _, s := range table(o) {
		all = append(all, experiment.Scenario[scenery, *stage]{
			Name: s.name, PassLine: s.passLine(), Stage: s.on,
			Turn: experiment.Turn[*stage]{Does: s.does, Trials: s.trials, Takes: s.takes, Play: s.play},
		})
	}
	return all
}
