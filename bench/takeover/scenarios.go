package takeover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/experiment"
	"zatoha/bench/pause"
)

// scenario is one kind of fault, and what it may cost.
type scenario struct {
	name, does string
	trials     int
	takes      time.Duration // a trial, roughly
	fault      func(ctx context.Context, p *play) error
	gap        time.Duration // longest time without a message; 0: it is not looked at
	gapIs      string
	stage      stage
	ratioIs    string  // a ratio whose median over all trials is judged
	least      float64 // that it may be; 0: there is none
	one        bool    // of the connector that the fault is for, and not of all
	more       string  // of the pass line
	lighter    int     // see Options; 0 is 1
}

var othersGoOn = "the others go on in their processes, silent ≤ " + experiment.Readable(mostBeside)

func (s scenario) passLine() string {
	line := "never two at once, epochs grow, no effect of an epoch that is over"
	if s.gap > 0 {
		line = fmt.Sprintf("%s ≤ %s; ", s.gapIs, experiment.Readable(s.gap)) + line
	}
	if s.more != "" {
		line += "; " + s.more
	}
	if s.lighter > 1 {
		line += fmt.Sprintf("; messages 1/%d", s.lighter)
	}
	return line
}

// table is every scenario.
func table(o Options) []scenario {
	n, spell, outage, messages := 30, 30*time.Second, outages{10 * time.Second, 60 * time.Second}, 100_000
	if o.Short {
		n, spell, outage, messages = 2, 3*time.Second, outages{3 * time.Second, 3 * time.Second}, 10_000
	}
	if o.Messages > 0 {
		messages = o.Messages
	}
	some, few := n, max(n/10, 1) // of what takes long in the short form too, and of what differs little from trial to trial
	if o.Short {
		some = 1
	}
	const (
		second    = time.Second
		suspended = "its processes end ≤ 1 s after it was stopped, and it stops ≤ 100 ms after it goes on"
	)
	all := []scenario{
		{
			name: "connector-kill-host", does: "SIGKILL the active connector host", trials: n, takes: 4 * second,
			fault: killHost, gap: 1500 * time.Millisecond, gapIs: "until another consumes",
		},
		{
			name: "connector-kill-child", does: "SIGKILL the process of one connector", trials: n, takes: 3 * second,
			fault: killChild, gap: 300 * time.Millisecond, gapIs: "until it is back", one: true, more: othersGoOn,
		},
		{
			name: "connector-move", does: "hand the role over to another host", trials: n, takes: 2 * second,
			fault: moveRole, gap: 100 * time.Millisecond, gapIs: "gap",
		},
		{
			name: "connector-stop", does: "stop the active connector host, and start it again", trials: n, takes: 3 * second,
			fault: stopHost, gap: 100 * time.Millisecond, gapIs: "gap",
		},
		{
			name: "connector-change", does: "change the definition of one connector", trials: n, takes: 2 * second,
			fault: change, gap: 50 * time.Millisecond, gapIs: "its gap", one: true, more: othersGoOn,
		},
		{
			name: "connector-pause", does: fmt.Sprintf("SIGSTOP the active connector host for %v, then SIGCONT", spell), trials: some, takes: spell + 3*second,
			fault: suspendHost(spell, false), gap: 2500 * time.Millisecond, gapIs: "until another consumes", more: suspended,
		},
		{
			name: "connector-freeze", trials: some, takes: spell + 3*second,
			does:  fmt.Sprintf("SIGSTOP the active connector host and the processes of its connectors for %v, then SIGCONT", spell),
			fault: suspendHost(spell, true), gap: 2500 * time.Millisecond, gapIs: "until another consumes", more: suspended,
		},
		{
			name: "connector-blackhole", does: "nothing passes between the active connector host and Consul, for 4 s", trials: some, takes: 8 * second, stage: wired,
			fault: blackhole(4 * second), gap: 2500 * time.Millisecond, gapIs: "until another consumes", more: "the holder stops before another starts",
		},
		{
			name: "connector-consul-pause", does: fmt.Sprintf("SIGSTOP Consul for %v, then SIGCONT", outage), trials: some, takes: outage.mean() + 6*second,
			fault: pauseConsul(outage), more: "all stop ≤ 1 s, all consume ≤ 5 s after it goes on",
		},
	}
	all = append(all, datacenterScenarios(outage, some)...)
	all = append(all, sizeScenarios(o.RabbitMQ, n, few)...)
	if o.RabbitMQ != "" {
		all = append(all, messageScenarios(o.RabbitMQ, messages, some)...)
	}
	for i := range all {
		if all[i].stage == (stage{}) {
			all[i].stage = usual
		}
		if o.Lighter > 1 && all[i].stage.rate > 0 {
			all[i].stage.rate = max(all[i].stage.rate/o.Lighter, 1)
			all[i].lighter = o.Lighter
		}
	}
	return all
}

// datacenterScenarios are those that need a Consul of several servers.
func datacenterScenarios(outage outages, some int) []scenario {
	return []scenario{
		{
			name: "connector-leader", does: "SIGKILL the leader of Consul's three servers", trials: some, takes: 10 * time.Second, stage: three,
			fault: killLeader, gap: 5 * time.Second, gapIs: "without a message", more: "all consume ≤ 5 s after there is another leader",
		},
		{
			name: "connector-quorum", does: fmt.Sprintf("SIGKILL two leaders of Consul, one after the other: no quorum for %v", outage),
			trials: some, takes: outage.mean() + 20*time.Second, stage: three, fault: loseQuorum(outage),
			more: "all stop ≤ 1 s, all consume ≤ 5 s after there is a leader again",
		},
	}
}

// sizeScenarios are about many connectors, and what one takes.
func sizeScenarios(rabbitMQ string, n, few int) []scenario {
	return []scenario{
		{
			name: "connector-many", does: fmt.Sprintf("SIGKILL the active of three hosts with %d connectors, when the others have a process ready for each; kill all, start one", many.connectors),
			trials: n, takes: 15 * time.Second, stage: many, fault: manyConnectors,
			more: "others consume ≤ 2.5 s after the kill, all run ≤ 5 s after the start",
		},
		{
			name: "connector-memory", does: "nothing: connectors without messages", trials: few, takes: 8 * time.Second, stage: quiet,
			fault: memory(rabbitMQ), more: "≤ 25 MB of each process",
		},
	}
}

// messageScenarios are about what becomes of messages by AMQP.
func messageScenarios(rabbitMQ string, messages, some int) []scenario {
	ordered := messages / 20 // they come one at a time
	return []scenario{
		{
			name: "connector-poison", trials: some, takes: 20 * time.Second, fault: poison(rabbitMQ, messages/10), stage: quiet, ratioIs: goodIs, least: leastGood,
			does: fmt.Sprintf("%d messages by AMQP with 1 %% poison, and as many without, twice", messages/10),
			more: "each of the poison is tried three times and parked with the reason; median of good throughput ≥ 0.9 of that without",
		},
		{
			name: "connector-order", trials: 1, takes: time.Duration(ordered)*20*time.Millisecond + 25*time.Second, fault: order(rabbitMQ, ordered),
			does: fmt.Sprintf("%d messages by AMQP to one consumer with prefetch 1, through the faults of the storm", ordered),
			more: "0 lost, none out of its place; no more run twice than faults, each marked redelivered and not in the process that had run it",
		},
		{
			name: "connector-storm", trials: 1, takes: time.Duration(messages)*broker.BatchEvery/batch + 20*time.Second, fault: storm(rabbitMQ, messages),
			does: fmt.Sprintf("%d messages by AMQP, while hosts, the connector's process and servers are killed and RabbitMQ is restarted by turns", messages),
			more: "0 lost; no more run twice than were in flight at the faults, each with its ID, marked redelivered, and not in the process that had run it",
		},
	}
}

// killHost kills the active host; its children die with it.
func killHost(ctx context.Context, p *play) error {
	p.holder.process.Kill()
	if err := p.another(ctx); err != nil {
		return err
	}
	return p.startHost(p.holder)
}

// killChild kills one child. The delay before it is started again grows with each end in one tenure, so that each trial
// has a tenure of its own.
func killChild(ctx context.Context, p *play) (err error) {
	if err := p.renew(ctx); err != nil {
		return err
	}
	pid := processes(p.before)[p.target()]
	if pid == 0 {
		return fmt.Errorf("connector %s has no process", p.target())
	}
	p.began = time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %d: %w", pid, err)
	}
	return p.replaced(ctx, pid, "the process has not been missed")
}

// replaced waits until the target has another process, and all is whole; the other connectors must have theirs still.
func (p *play) replaced(ctx context.Context, pid int, missing string) error {
	if err := p.until(ctx, func(ctx context.Context) error {
		r, err := p.holder.said(ctx)
		if err == nil && processes(r)[p.target()] == pid {
			err = errors.New(missing)
		}
		return err
	}); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	return p.untouched(ctx, p.target())
}

// renew moves the role on, so that a tenure begins.
func (p *play) renew(ctx context.Context) (err error) {
	if err := moveRole(ctx, p); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	if p.holder, p.before, err = p.active(ctx); err != nil {
		return err
	}
	return pause.For(ctx, settling)
}

// moveRole asks the active host to hand over to the next.
func moveRole(ctx context.Context, p *play) error {
	next := p.hosts[(slices.Index(p.hosts, p.holder)+1)%len(p.hosts)]
	body := fmt.Appendf(nil, `{"to": %q}`, next.id)
	if err := call(ctx, http.MethodPost, "http://"+p.holder.address+"/move", body, nil); err != nil {
		return err
	}
	return p.another(ctx)
}

// stopHost stops the active host in good order.
func stopHost(ctx context.Context, p *play) error {
	stopping, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := p.holder.process.StopClean(stopping); err != nil {
		return err
	}
	if err := p.another(ctx); err != nil {
		return err
	}
	return p.startHost(p.holder)
}

// change writes another definition of one connector.
func change(ctx context.Context, p *play) error {
	pid := processes(p.before)[p.target()]
	if err := p.define(ctx, p.Number%len(p.names)); err != nil {
		return err
	}
	return p.replaced(ctx, pid, "the definition has not taken effect")
}

// stopped waits until a host says that it is not active and runs nothing.
func (p *play) stopped(ctx context.Context, h *connectorHost) error {
	return p.until(ctx, func(ctx context.Context) error {
		r, err := h.said(ctx)
		if err == nil && (r.Role == "active" || len(r.Connectors) > 0) {
			err = fmt.Errorf("%s is %s and runs %d connectors", h.id, r.Role, len(r.Connectors))
		}
		return err
	})
}

// blackhole cuts the active host off from Consul.
func blackhole(spell time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) (err error) {
		if err := p.holder.wire.cut(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.holder.wire.mend(ctx)) }()
		if err := p.stopped(ctx, p.holder); err != nil {
			return err
		}
		p.Measure("stopped by itself", time.Since(p.began), 0)
		if err := p.another(ctx); err != nil {
			return err
		}
		return pause.For(ctx, spell-time.Since(p.began))
	}
}

// pauseConsul stops Consul's only server, so that there is no quorum.
func pauseConsul(outage outages) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		p.Consul.Signal(syscall.SIGSTOP)
		goOn := func() { p.Consul.Signal(syscall.SIGCONT) }
		defer goOn()
		if err := p.allStop(ctx); err != nil {
			return err
		}
		away := outage.of(p.Number)
		if err := pause.For(ctx, away-time.Since(p.began)); err != nil {
			return err
		}
		resumed := time.Now()
		goOn()
		return p.resumed(ctx, resumed, outage.after(away))
	}
}

// last is when the last process that acted for a connector ended.
func (p *play) last() (at time.Time) {
	runs, _ := p.witness.runs()
	for _, r := range runs {
		if r.Stop.After(at) {
			at = r.Stop
		}
	}
	return at
}
