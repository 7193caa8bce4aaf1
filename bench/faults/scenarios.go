package faults

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/pause"
)

// scenario is one kind of fault, and what it may cost.
type scenario struct {
	name, does string
	set        set
	trials     int
	load       []load.Template // none: there is no load while the fault lasts
	worst      time.Duration   // of a request; 0 for any
	errors     string          // how many errors may be, if not 0
	fault      func(ctx context.Context, p *play) error
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

// table is every scenario; a short one has fewer trials, and faults that last less long.
func table(short bool) []scenario {
	n := func(full, brief int) int {
		if short {
			return brief
		}
		return full
	}
	seconds := func(full, brief int) time.Duration { return time.Duration(n(full, brief)) * time.Second }
	const kill = "SIGKILL one of three servers, miss it for a while, start it again"
	const quick = 250 * time.Millisecond
	outage := seconds(60, 5)
	all := []scenario{
		{name: "kill-get", does: kill + "; GET", trials: n(30, 1), load: []load.Template{get}, worst: quick, fault: killServer},
		{name: "kill-post", does: kill + "; POST with Idempotency-Key", trials: n(30, 1), load: []load.Template{keyed}, worst: quick, fault: killServer},
		{name: "kill-post-split", does: kill + "; the same, body 5 ms behind the headers", trials: n(30, 1), load: []load.Template{split}, worst: quick, fault: killServer},
		{name: "kill-post-40k", does: kill + "; the same, 40 KB", trials: n(30, 1), load: []load.Template{big}, worst: quick, fault: killServer},
		{name: "pause", does: fmt.Sprintf("SIGSTOP one of three servers for %s, then SIGCONT", seconds(10, 3)), trials: n(6, 1), load: mixed[:2], worst: time.Second, fault: pauseServer(seconds(10, 3))},
		{name: "rolling", does: "stop and start each server in turn", trials: n(5, 1), load: mixed, fault: restartServers},
		{name: "changes", does: fmt.Sprintf("%d membership changes that need no new slot", n(1000, 60)), trials: 1, load: mixed, fault: changeMembers(n(1000, 60))},
		{name: "controller-kill", does: "SIGKILL the controller, start it again after a second", trials: n(10, 1), load: mixed, fault: killController},
		{name: "haproxy-kill", does: "SIGKILL HAProxy, master and worker", trials: n(20, 2), fault: killHAProxy},
		{name: "consul-kill", does: fmt.Sprintf("SIGKILL Consul, start it again, empty, after %s", outage), trials: 1, load: mixed, fault: killConsul(outage)},
	}
	for _, spoiled := range []struct {
		name, does string
		answer     answer
	}{
		{"consul-leaderless", "Consul answers that it has no leader", leaderless},
		{"consul-500", "Consul's health endpoint answers 500", failing},
		{"consul-empty", "Consul's catalog is empty", empty},
	} {
		all = append(all, scenario{
			name: spoiled.name, does: fmt.Sprintf("%s, for %s", spoiled.does, outage), trials: 1, load: mixed,
			fault: obstruct(outage, func(o *obstacles) error { o.give(spoiled.answer); return nil },
				func(_ context.Context, o *obstacles) error { o.give(ownAnswer); return nil }),
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
		all = append(all, scenario{
			name: toxic.name, does: fmt.Sprintf("%s, for %s", toxic.does, seconds(60, 2)), trials: 1, load: mixed,
			fault: obstruct(seconds(60, 2), func(o *obstacles) error { return o.poison(toxic.toxin) },
				func(ctx context.Context, o *obstacles) error { return o.cure(ctx) }),
		})
	}
	return append(
		all,
		scenario{name: "reloads", does: fmt.Sprintf("%d reloads to grow the backend, then %d membership changes", n(20, 4), n(200, 20)), set: tight, trials: 1, load: mixed, fault: grow(n(20, 4), n(200, 20))},
		scenario{name: "kill-post-once", does: kill + "; POST without a key", set: recording, trials: n(30, 1), load: []load.Template{once}, errors: "no more errors than requests in flight there, none executed twice", fault: killUpstream},
	)
}

func (s scenario) passLine() string {
	line := "0 errors, 0 closes"
	if s.errors != "" {
		line = s.errors
	}
	if s.worst > 0 {
		line += fmt.Sprintf(", worst ≤ %s", Readable(s.worst))
	}
	return line
}

// play is a trial under way.
type play struct {
	*stage
	number  int           // of the trial, from 0
	running *load.Running // nil without load
	trial   Trial
	allowed int // errors
}

const settling = 500 * time.Millisecond // of load before the fault, and behind it

// trial plays the scenario once. Whatever goes wrong is a failure of the trial.
func (s scenario) trial(ctx context.Context, on *stage, number int) Trial {
	p := &play{stage: on, number: number}
	if err := s.perform(ctx, p); err != nil {
		p.fail("%v", err)
	}
	s.judge(p)
	return p.trial
}

func (s scenario) perform(ctx context.Context, p *play) (err error) {
	if len(s.load) == 0 {
		return s.fault(ctx, p)
	}
	if p.running, err = p.load(ctx, s.load); err != nil {
		return err
	}
	defer func() { p.trial.Load = p.running.Stop() }()
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	if err := s.fault(ctx, p); err != nil {
		return err
	}
	return pause.For(ctx, settling)
}

// judge compares the trial with the pass line.
func (s scenario) judge(p *play) {
	report := p.trial.Load
	if len(s.load) > 0 && report.Requests == 0 {
		p.fail("no request was made")
	}
	if n := report.Errors(); n > p.allowed {
		p.fail("%d errors, at most %d may be: %s", n, p.allowed, report)
	}
	if n := Closes(report); n > p.allowed {
		p.fail("%d closes", n)
	}
	if s.worst > 0 && report.Latency.Worst > s.worst {
		p.fail("the worst took %s, at most %s may be", Readable(report.Latency.Worst), Readable(s.worst))
	}
	for _, m := range p.trial.Measured {
		if m.Limit > 0 && m.Took > m.Limit {
			p.fail("%s took %s, at most %s may be", m.What, Readable(m.Took), Readable(m.Limit))
		}
	}
}

func (p *play) fail(format string, args ...any) {
	p.trial.Failures = append(p.trial.Failures, fmt.Sprintf(format, args...))
}

// measured notes a time; a limit of 0 is none.
func (p *play) measured(what string, took, limit time.Duration) {
	i := slices.IndexFunc(p.trial.Measured, func(m Measured) bool { return m.What == what })
	if i < 0 {
		p.trial.Measured = append(p.trial.Measured, Measured{what, took, limit})
		return
	}
	p.trial.Measured[i].Took = max(p.trial.Measured[i].Took, took) // of several, the longest
}
