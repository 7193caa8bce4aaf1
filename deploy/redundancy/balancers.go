package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/fleet"
)

// pair are three hosts, two of which have load balancers.
func pair() []fleet.Role {
	roles := fleet.Equal(3)
	for i := range roles {
		roles[i].Connectors = false
	}
	roles[2].Balances = false
	return roles
}

// balancers are the scenarios of the pair of load balancers.
func balancers(o options) []scenario {
	on := scenery{roles: pair()}
	const once = "no client has more than one failed request"
	return []scenario{
		{
			name: "balancer-host-dies", on: on, trials: 10, brief: true, fault: hostDies,
			does:     "the host that has the virtual address loses its link, and then its power",
			passLine: "the address serves from the other ≤ 1 s; " + once,
		},
		{
			name: "balancer-dies", on: on, trials: 10, brief: true, fault: balancerDies,
			does:     "SIGKILL the controller and HAProxy of the host that has the virtual address",
			passLine: "the address serves ≤ 500 ms; no client is cut off more than once, though refused until then",
		},
		{
			name: "balancer-moves", on: on, trials: 10, brief: true, fault: moves,
			does:     "`lb yield` on the host that has the virtual address, GET and POST without a key",
			passLine: "0 failed requests",
		},
		{
			name: "balancer-hangs", on: on, trials: 5, fault: hangs,
			does:     "SIGSTOP HAProxy of the host that has the virtual address for three seconds, then SIGCONT",
			passLine: "the address serves ≤ 2 s; " + once,
		},
		{
			name: "balancer-controller-dies", on: on, trials: 5, fault: controllerDies,
			does:     "SIGKILL the controller alone of the host that has the virtual address",
			passLine: "the address stays; 0 failed requests",
		},
		{
			name: "balancer-cut-off", on: on, trials: 5, fault: balancerCutOff,
			does:     fmt.Sprintf("cut the host off that has the virtual address, for %v, and heal", o.Partition),
			passLine: "the address serves from the other ≤ 1 s, and stays there; " + once,
		},
		{
			name: "balancer-keepalived-dies", on: on, trials: 5, fault: keepalivedDies,
			does:     "SIGKILL keepalived of the host that has the virtual address, and start it again",
			passLine: "the address serves from one alone afterwards",
		},
	}
}

// answers tries connections to the virtual address, one every few milliseconds, until one is answered with 200, and says
// when that was. A try is given up after longer than an answer takes on a busy machine, and before TCP tries again for
// it.
func (p *playing) answers(ctx context.Context) (time.Time, error) {
	const every, patience = 10 * time.Millisecond, 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, bound)
	answered := make(chan time.Time, 1)
	try := func() {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Front()+"/zato/ping", nil)
		if err != nil {
			return
		}
		response, err := p.Client.HTTP().Do(request)
		if err != nil {
			return
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			select {
			case answered <- time.Now():
			default: // another was first
			}
		}
	}
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		tries.Go(try)
		select {
		case at := <-answered:
			return at, nil
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the virtual address is not answered within %v", bound)
		case <-tick.C:
		}
	}
}

// underLoad has clients ask the virtual address, and the node that has it.
func (p *playing) underLoad(ctx context.Context, templates ...load.Template) (*fleet.Node, *load.Running, error) {
	holder, err := p.Holder(ctx)
	if err != nil {
		return nil, nil, err
	}
	running, err := p.ask(ctx, p.Front(), templates...)
	if err != nil {
		return nil, nil, err
	}
	return holder, running, pause.For(ctx, settling)
}

// servedAgain measures until the virtual address is answered, and ends the load, of which each client may have one error.
func (p *playing) servedAgain(ctx context.Context, began time.Time, limit time.Duration) error {
	at, err := p.answers(ctx)
	if err != nil {
		return err
	}
	p.Measure("until the address serves", at.Sub(began), limit)
	return nil
}

func (p *playing) oneErrorEach(ctx context.Context, running *load.Running) error {
	report, err := p.answered(ctx, running)
	if report.MostErrors > 1 {
		p.Fail("a client had %d failed requests: %s", report.MostErrors, report)
	}
	return err
}

func hostDies(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := holder.Unplug(ctx); err != nil {
		return err
	}
	if err := p.servedAgain(ctx, began, time.Second); err != nil {
		return err
	}
	if err := errors.Join(holder.Dead(ctx), pause.For(ctx, time.Second), p.oneErrorEach(ctx, running)); err != nil {
		return err
	}
	return errors.Join(holder.Boot(ctx), p.Run(ctx, holder))
}

func balancerDies(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get)
	if err != nil {
		return err
	}
	began, err := holder.KillBalancer(ctx)
	if err != nil {
		return err
	}
	if err := p.servedAgain(ctx, began, 500*time.Millisecond); err != nil {
		return err
	}
	if err := pause.For(ctx, time.Second); err != nil {
		return err
	}
	report, err := p.answered(ctx, running)
	if report.MostCutOff > 1 {
		p.Fail("a client was cut off %d times: %s", report.MostCutOff, report)
	}
	return errors.Join(err, holder.StartBalancer())
}

func hangs(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get)
	if err != nil {
		return err
	}
	began, thaw, err := holder.FreezeHAProxy(ctx)
	if err != nil {
		return err
	}
	err = p.servedAgain(ctx, began, 2*time.Second)
	if err == nil {
		err = pause.For(ctx, 3*time.Second-time.Since(began))
	}
	if err := errors.Join(err, thaw(ctx)); err != nil {
		return err
	}
	return p.oneErrorEach(ctx, running)
}

func controllerDies(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get, post)
	if err != nil {
		return err
	}
	holder.LB.Kill()
	if err := pause.For(ctx, 3*time.Second); err != nil {
		return err
	}
	after, err := p.Holder(ctx)
	if err != nil {
		return err
	}
	if after != holder {
		p.Fail("the address has moved from %s to %s", holder.Role.Name, after.Role.Name)
	}
	return errors.Join(p.flawless(ctx, "the virtual address", running), holder.StartBalancer())
}

// balancerCutOff has the address on both sides for a while. When they meet again, it has to stay where the clients are.
func balancerCutOff(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := p.Partition(ctx, holder); err != nil {
		return err
	}
	if err := p.servedAgain(ctx, began, time.Second); err != nil {
		return err
	}
	if err := pause.For(ctx, p.options.Partition-time.Since(began)); err != nil {
		return err
	}
	if err := p.Heal(ctx); err != nil {
		return err
	}
	if err := until(ctx, func(ctx context.Context) error { _, err := p.Holder(ctx); return err }); err != nil {
		return err
	}
	if err := pause.For(ctx, 3*time.Second); err != nil { // in which it might come back
		return err
	}
	if after, err := p.Holder(ctx); err != nil || after == holder {
		p.Fail("the address has moved back, %v", err)
	}
	return p.oneErrorEach(ctx, running)
}

func keepalivedDies(ctx context.Context, p *playing) error {
	holder, running, err := p.underLoad(ctx, get)
	if err != nil {
		return err
	}
	if err := holder.KillKeepalived(ctx); err != nil {
		return err
	}
	if err := until(ctx, func(context.Context) error {
		for _, n := range p.Nodes {
			if n != holder && n.Has(p.Virtual) {
				return nil
			}
		}
		return errors.New("the other does not have the address")
	}); err != nil {
		return err
	}
	if err := holder.StartKeepalived(); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil { // one has it
		return err
	}
	if _, err := p.answers(ctx); err != nil {
		return err
	}
	report, err := p.answered(ctx, running)
	if report.MostErrors > 2 { // it may move there, and back
		p.Fail("a client had %d failed requests: %s", report.MostErrors, report)
	}
	return err
}
