package faults

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/slow"
)

// scenario is one kind of fault, and what it may cost.
type scenario struct {
	name, does string
	set        set
	turn                                                    // on ours
	peer       turn                                         // on each peer, which has no pass line; without trials it is not played there
	load       []load.Template                              // none: there is no load while the fault lasts
	worst      time.Duration                                // of a request; 0 for any
	errors     string                                       // how many errors may be, if not 0
	more       string                                       // of the pass line
	together   func([]experiment.Trial) (failures []string) // what the trials are held against, all together
}

// turn is how a fault is played on one of the balancers, and how often.
type turn struct {
	trials int
	takes  time.Duration // a trial, roughly
	fault  fault
	does   string // if that differs from what the scenario does
}

const (
	ping    = "/zato/ping"
	service = "zato-server"
)

var (
	get   = load.Get(ping)
	post  = load.Post(ping, []byte(`{"what": "a request that may be executed but once"}`))
	keyed = load.Template{Method: http.MethodPost, Path: ping, Body: post.Body, IDHeader: "Idempotency-Key"}
	split = load.Template{Method: http.MethodPost, Path: ping, Body: post.Body, IDHeader: "Idempotency-Key", BodyPause: 5 * time.Millisecond}
	big   = load.Template{Method: http.MethodPost, Path: ping, Body: bytes.Repeat([]byte("x"), 40<<10), IDHeader: "Idempotency-Key"}
	once  = load.Template{Method: http.MethodPost, Path: ping, Body: post.Body, IDHeader: idHeader}
	mixed = []load.Template{get, keyed, post, split}
)

// amount is how much of something there is in a full run, and in a short one.
type amount func(full, brief int) int

func (n amount) seconds(full, brief int) time.Duration {
	return time.Duration(n(full, brief)) * time.Second
}

// table is every scenario; a short one has fewer trials, and faults that last less long. Those of slowhttptest are in
// it if that is at a path.
func table(short bool, slowHTTPTest string) []scenario {
	n := amount(func(full, brief int) int {
		if short {
			return brief
		}
		return full
	})
	return slices.Concat(
		killed(n), restarted(n), obstructed(n.seconds(60, 5), n.seconds(60, 2)),
		slowed(n(5, 1), n(2000, 500), n.seconds(7, 0), n.seconds(4, 1), slowHTTPTest),
		[]scenario{
			{
				name: "reloads", does: fmt.Sprintf("%d reloads to grow the backend, then %d membership changes", n(20, 4), n(200, 20)),
				set: tight, load: mixed, turn: turn{trials: 1, takes: n.seconds(30, 6), fault: grow(n(20, 4), n(200, 20))},
			},
			{
				name: "kill-post-once", does: kill + "; POST without a key", set: recording, load: []load.Template{once},
				errors: "no more errors than requests in flight there, none executed twice",
				turn:   turn{trials: n(30, 1), takes: 4 * time.Second, fault: killUpstream},
			},
		},
	)
}

const (
	kill    = "SIGKILL one of three servers, miss it for a while, start it again"
	quick   = 250 * time.Millisecond // for any request when a server is killed
	missing = 3 * time.Second        // until a peer's three further tries, a second apart, have failed
)

// killed are the scenarios in which a server is killed that may be asked again.
func killed(n amount) []scenario {
	briefly := turn{trials: n(30, 1), takes: 3 * time.Second, fault: killServer(settling)}
	missed := turn{trials: n(30, 1), takes: 6 * time.Second, fault: killServer(missing)}
	peer := turn{trials: n(10, 1), takes: 6 * time.Second, fault: missed.fault}
	return []scenario{
		{name: "kill-get", does: kill + "; GET", load: []load.Template{get}, worst: quick, turn: missed, peer: peer},
		{name: "kill-post", does: kill + "; POST with Idempotency-Key", load: []load.Template{keyed}, worst: quick, turn: missed, peer: peer},
		{name: "kill-post-split", does: kill + "; the same, body 5 ms behind the headers", load: []load.Template{split}, worst: quick, turn: briefly},
		{name: "kill-post-40k", does: kill + "; the same, 40 KB", load: []load.Template{big}, worst: quick, turn: briefly},
	}
}

// restarted are those in which servers, the controller or HAProxy go and come back.
func restarted(n amount) []scenario {
	const peerPause = 5 * time.Second
	pauses := func(d time.Duration) string {
		return fmt.Sprintf("SIGSTOP one of three servers for %s, then SIGCONT", d)
	}
	rolling := turn{trials: n(5, 1), takes: 6 * time.Second, fault: restartServers}
	return []scenario{
		{
			name: "pause", does: pauses(n.seconds(10, 3)), load: mixed[:2], worst: time.Second,
			turn: turn{trials: n(6, 1), takes: n.seconds(12, 5), fault: pauseServer(n.seconds(10, 3))},
			peer: turn{trials: n(6, 1), takes: 8 * time.Second, fault: pauseServer(peerPause), does: pauses(peerPause)},
		},
		{name: "rolling", does: "stop and start each server in turn", load: mixed, turn: rolling, peer: rolling},
		{
			name: "changes", does: fmt.Sprintf("%d membership changes that need no new slot", n(1000, 60)), load: mixed,
			turn: turn{trials: 1, takes: n.seconds(65, 5), fault: changeMembers(n(1000, 60))},
			peer: turn{
				trials: 1, takes: n.seconds(70, 6), fault: changePeer(n(200, 10)),
				does: fmt.Sprintf("%d membership changes, with a quarter of a second between, as HAProxy's master loses a signal to reload that comes while it does", n(200, 10)),
			},
		},
		{
			name: "controller-kill", does: "SIGKILL the controller, start it again after a second", load: mixed,
			turn: turn{trials: n(10, 1), takes: 3 * time.Second, fault: killController},
		},
		{name: "haproxy-kill", does: "SIGKILL HAProxy, master and worker", turn: turn{trials: n(20, 2), takes: 2 * time.Second, fault: killHAProxy}},
	}
}

// obstructed are the scenarios in which Consul is away, or its answers or connections are spoiled, for so long.
func obstructed(outage, spell time.Duration) []scenario {
	all := []scenario{{
		name: "consul-kill", does: fmt.Sprintf("SIGKILL Consul, start it again, empty, after %s", outage), load: mixed,
		turn: turn{trials: 1, takes: outage + 4*time.Second, fault: killConsul(outage)},
	}}
	for _, spoiled := range []struct {
		name, does string
		answer     answer
	}{
		{"consul-leaderless", "Consul answers that it has no leader", leaderless},
		{"consul-500", "Consul's health endpoint answers 500", failing},
		{"consul-empty", "Consul's catalog is empty", empty},
	} {
		put := func(o *obstacles) error { o.give(spoiled.answer); return nil }
		remove := func(_ context.Context, o *obstacles) error { o.give(ownAnswer); return nil }
		all = append(all, scenario{
			name: spoiled.name, does: fmt.Sprintf("%s, for %s", spoiled.does, outage), load: mixed,
			turn: turn{trials: 1, takes: outage + 3*time.Second, fault: obstruct(outage, put, remove)},
		})
	}
	for _, toxic := range []struct {
		name, does string
		toxin      toxin
	}{
		{"consul-latency", "Consul's answers come 1 to 3 s late", latency},
		{"consul-reset", "connections to Consul are reset", reset},
		{"consul-blackhole", "nothing comes back from Consul", blackhole},
	} {
		put := func(o *obstacles) error { return o.poison(toxic.toxin) }
		remove := func(ctx context.Context, o *obstacles) error { return o.cure(ctx) }
		all = append(all, scenario{
			name: toxic.name, does: fmt.Sprintf("%s, for %s", toxic.does, spell), load: mixed,
			turn: turn{trials: 1, takes: spell + 3*time.Second, fault: obstruct(spell, put, remove)},
		})
	}
	return all
}

// slowed are the scenarios with n slow clients, in rounds whose parts are watched for so long: ours, when they have
// reached an age at which the front's time-out for a request comes next, and slowhttptest's where it is installed.
func slowed(rounds, n int, age, watched time.Duration, slowHTTPTest string) (all []scenario) {
	judged := ""
	if rounds >= slowRounds {
		judged = fmt.Sprintf(", p99 < %g times that undisturbed or of the control", slowLimit)
	}
	add := func(name, does string, by attack, more time.Duration) {
		takes := 3*watched + more + 2*time.Duration(n)*time.Second/slowOpenings + 2*time.Second
		all = append(all, scenario{
			name: name, does: fmt.Sprintf(does, n), together: judgeSlow, more: judged,
			turn: turn{trials: rounds, takes: takes, fault: slowRound(by, watched)},
		})
	}
	for _, by := range []struct {
		name, does string
		kind       slow.Kind
	}{
		{"headers", "%d clients send a header every 2 s and come to no end", slow.Headers},
		{"body", "%d clients send a few bytes of a body every 2 s", slow.Bodies},
		{"read", "%d clients take 32 bytes of their answers every 2 s", slow.Readers},
	} {
		add("slow-"+by.name, by.does, ownAttack(by.kind, n, age), 2*age)
		if slowHTTPTest != "" {
			add("slowhttptest-"+by.name, "the same by slowhttptest, %d", toolAttack(slowHTTPTest, by.kind, n), 0)
		}
	}
	return all
}

func (s scenario) passLine() string {
	line := "0 errors, 0 closes"
	if s.errors != "" {
		line = s.errors
	}
	if s.worst > 0 {
		line += fmt.Sprintf(", worst ≤ %s", experiment.Readable(s.worst))
	}
	return line + s.more
}
