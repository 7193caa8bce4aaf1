// Package faults breaks a whole cluster of the real programs under load and counts what the clients notice of it.
//
// One case, kill-get: three servers behind the load balancer, 32 raw keep-alive connections of package load asking for
// /zato/ping a thousand times a second; one server gets SIGKILL, is missed for a while, and is started again. Each
// request that was not answered with 2xx is an error, each connection that ended without notice a close, and latencies
// count from when a request was due. The trial passes if there were no errors, no closes, and no request took longer
// than 250 ms; the scenario passes if each of its trials does. What each scenario does, and its pass line, stands in
// the table in scenarios.go. By turns with these trials, the same is done to peers of the same servers, such as
// consul-template with an HAProxy of its own; the report puts what clients noticed of them beside ours.
package faults

import (
	"context"

	"zatoha/bench/experiment"
	"zatoha/bench/peer"
)

// Options say what is run and with which programs.
type Options struct {
	Bin          string      // folder with our programs
	Consul       string      // path of Consul
	HAProxy      string      // path of HAProxy
	Peers        []peer.Kind // that some scenarios are played on too
	SlowHTTPTest string      // path of slowhttptest; "": its scenarios are left out, as they are of a short run
	Upstream     []string    // command line that runs [Upstream]; its arguments are appended
	LBArgs       []string    // more arguments for the load balancer

	experiment.Options
}

// Run plays the scenarios that the options ask for.
func Run(ctx context.Context, o Options) (experiment.Outcome, error) {
	theatre := experiment.Theatre[set, *stage]{Options: o.Options, Build: o.build, Attempts: attempts}
	return theatre.Run(ctx, scenarios(o))
}

// Names are those of the scenarios.
func Names() []string { return experiment.Names(scenarios(Options{SlowHTTPTest: "slowhttptest"})) }

func scenarios(o Options) (all []experiment.Scenario[set, *stage]) {
	if o.Short {
		o.SlowHTTPTest = "" // our own slow clients tell as much
	}
	for _, s := range table(o.Short, o.SlowHTTPTest) {
		all = append(all, experiment.Scenario[set, *stage]{
			Name: s.name, PassLine: s.passLine(), Stage: s.set, Together: s.together,
			Turn:  experiment.Turn[*stage]{Does: s.does, Trials: s.trials, Takes: s.takes, Play: s.on},
			Peers: s.onPeers(o.Peers),
		})
	}
	return all
}

// onPeers are the scenario's turns on each of the peers, if it has any.
func (s scenario) onPeers(kinds []peer.Kind) (turns []experiment.PeerTurn[*stage]) {
	if s.peer.trials == 0 {
		return nil
	}
	for _, kind := range kinds {
		turns = append(turns, experiment.PeerTurn[*stage]{On: kind.Name, Turn: experiment.Turn[*stage]{
			Does: s.peer.does, Trials: s.peer.trials, Takes: s.peer.takes, Play: s.onPeer(kind),
		}})
	}
	return turns
}
