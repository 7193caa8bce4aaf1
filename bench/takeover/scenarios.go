package takeover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"zatoha/bench/broker"
	"zatoha/bench/faults"
	"zatoha/bench/history"
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
	one        bool   // of the connector that the fault is for, and not of all
	more       string // of the pass line
}

func (s scenario) passLine() string {
	line := "never two at once, epochs grow, no effect of an epoch that is over"
	if s.gap > 0 {
		line = fmt.Sprintf("%s ≤ %s; ", s.gapIs, faults.Readable(s.gap)) + line
	}
	if s.more != "" {
		line += "; " + s.more
	}
	return line
}

// chosen are the scenarios that the options ask for.
func chosen(o Options) []scenario {
	n, spell, outage, messages := 30, 30*time.Second, 60*time.Second, 100_000
	if o.Short {
		n, spell, outage, messages = 2, 3*time.Second, 3*time.Second, 10_000
	}
	few := max(n/5, 1)
	if o.Trials > 0 {
		n, few = o.Trials, o.Trials
	}
	const second = time.Second
	all := []scenario{
		{
			name: "connector-kill-host", does: "SIGKILL the active connector host", trials: n, takes: 4 * second,
			fault: killHost, gap: 1500 * time.Millisecond, gapIs: "until another consumes",
		},
		{
			name: "connector-kill-child", does: "SIGKILL the process of one connector", trials: n, takes: 3 * second,
			fault: killChild, gap: 300 * time.Millisecond, gapIs: "until it is back", one: true, more: "the others go on in their processes",
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
			fault: change, gap: 50 * time.Millisecond, gapIs: "its gap", one: true, more: "the others go on in their processes",
		},
		{
			name: "connector-pause", does: fmt.Sprintf("SIGSTOP the active connector host for %v, then SIGCONT", spell), trials: n, takes: spell + 3*second,
			fault: pauseHost(spell), gap: 2500 * time.Millisecond, gapIs: "until another consumes", more: "stopped ≤ 100 ms after it goes on",
		},
		{
			name: "connector-blackhole", does: "nothing passes between the active connector host and Consul, for 4 s", trials: n, takes: 8 * second,
			fault: blackhole(4 * second), gap: 2500 * time.Millisecond, gapIs: "until another consumes", more: "the holder stops before another starts",
		},
		{
			name: "connector-consul-pause", does: fmt.Sprintf("SIGSTOP Consul for %v, then SIGCONT", outage), trials: few, takes: outage + 6*second,
			fault: pauseConsul(outage), more: "all stop ≤ 1 s, all consume ≤ 5 s after it goes on",
		},
	}
	if o.RabbitMQ != "" {
		all = append(all, scenario{
			name: "connector-storm", trials: 1, takes: time.Duration(messages)*broker.BatchEvery/batch + 20*second, fault: storm(o.RabbitMQ, messages),
			does: fmt.Sprintf("%d messages by AMQP, while hosts, the connector's process and servers are killed and RabbitMQ is restarted by turns", messages),
			more: "0 lost; no more run twice than were in flight at the faults",
		})
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !strings.Contains(s.name, o.Only) })
}

// killHost kills the active host; its children die with it.
func killHost(ctx context.Context, p *play) error {
	p.holder.process.Kill()
	if err := p.another(ctx); err != nil {
		return err
	}
	return p.startHost(p.holder)
}

// killChild kills one child. The delay before it is started again grows with each end in one tenure, so that each trial has
// a tenure of its own.
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
	if err := p.until(ctx, func(ctx context.Context) error {
		r, err := p.holder.said(ctx)
		if err == nil && processes(r)[p.target()] == pid {
			err = errors.New("the process has not been missed")
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
	if err := p.holder.process.Stop(stopping); err != nil {
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
	if err := p.define(ctx, p.number%connectors); err != nil {
		return err
	}
	if err := p.until(ctx, func(ctx context.Context) error {
		r, err := p.holder.said(ctx)
		if err == nil && processes(r)[p.target()] == pid {
			err = errors.New("the definition has not taken effect")
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

// pauseHost stops the active host as a machine that swaps would. Its children, which go on, have to see themselves that
// their time is over.
func pauseHost(spell time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		p.holder.process.Signal(syscall.SIGSTOP)
		goOn := func() { p.holder.process.Signal(syscall.SIGCONT) }
		if err := p.another(ctx); err != nil {
			goOn()
			return err
		}
		if err := pause.For(ctx, spell-time.Since(p.began)); err != nil {
			goOn()
			return err
		}
		resumed := time.Now()
		goOn()
		if err := p.stopped(ctx, p.holder); err != nil {
			return err
		}
		p.measured("stopped after it goes on", time.Since(resumed), 100*time.Millisecond)
		return nil
	}
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
		p.measured("stopped by itself", time.Since(p.began), 0)
		if err := p.another(ctx); err != nil {
			return err
		}
		return pause.For(ctx, spell-time.Since(p.began))
	}
}

// pauseConsul stops Consul's only server, so that there is no quorum.
func pauseConsul(outage time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) error {
		p.Consul.Signal(syscall.SIGSTOP)
		goOn := func() { p.Consul.Signal(syscall.SIGCONT) }
		defer goOn()
		if err := p.until(ctx, func(context.Context) error {
			if n := len(p.witness.acting()); n > 0 {
				return fmt.Errorf("%d connectors still run", n)
			}
			return nil
		}); err != nil {
			return err
		}
		p.measured("all have stopped", p.last().Sub(p.began), time.Second)
		if err := pause.For(ctx, outage-time.Since(p.began)); err != nil {
			return err
		}
		resumed := time.Now()
		goOn()
		if err := p.until(ctx, func(context.Context) error { return p.heard(resumed, 0) }); err != nil {
			return err
		}
		worst := time.Duration(0)
		for _, name := range p.names {
			if at, ok := history.Next(p.effects, name, resumed, 0); ok {
				worst = max(worst, at.Sub(resumed))
			}
		}
		p.measured("all consume again", worst, 5*time.Second)
		return nil
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
