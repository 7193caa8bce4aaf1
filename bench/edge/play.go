package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/load"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

var (
	get        = load.Get("/zato/ping")
	post       = load.Post("/zato/ping", []byte(`{"what": "a request that may be executed but once"}`))
	keyed      = load.Template{Method: http.MethodPost, Path: "/zato/ping", Body: post.Body, IDHeader: "Idempotency-Key"}
	idempotent = []load.Template{get, keyed}
	mixed      = []load.Template{get, keyed, post}
)

const settling = 500 * time.Millisecond // of load before what is done, and behind it

// play is a trial under way.
type play struct {
	*stage
	*experiment.Trial
	running []*load.Running // at each outer load balancer
}

// play plays the scenario once, and holds it against the pass line.
func (s scenario) play(ctx context.Context, on *stage, trial *experiment.Trial) error {
	p := &play{stage: on, Trial: trial}
	err := p.perform(ctx, s)
	s.judge(p)
	return err
}

// perform does what a scenario does under load, half of it at each outer load balancer.
func (p *play) perform(ctx context.Context, s scenario) (err error) {
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("before it: %w", err)
	}
	for _, outer := range p.outers {
		running, err := load.Start(ctx, load.Options{Addr: outer.Front, Connections: 32 / outers, Rate: 1000 / outers, Templates: s.load})
		if err != nil {
			return err
		}
		p.running = append(p.running, running)
	}
	defer func() {
		var reports []load.Report
		for _, running := range p.running {
			reports = append(reports, running.Stop())
		}
		p.Load = load.Sum(reports)
	}()
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	if err := s.act(ctx, p); err != nil {
		return err
	}
	return pause.For(ctx, settling)
}

// judge compares the trial with the pass line.
func (s scenario) judge(p *play) {
	if p.Load.Requests == 0 {
		p.Fail("no request was made")
	}
	p.JudgeLoad(0, s.worst)
}

// longest is the longest time between two of some times.
func longest(times []time.Time) (gap time.Duration) {
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i].Sub(times[i-1]))
	}
	return gap
}

// timed does something and notes how long it took.
func (p *play) timed(what string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	p.Measure(what, time.Since(began), 0)
	return nil
}

// target is the cluster of this trial: each in its turn, or the one that has a standby.
func (p *play) target() (name string, c *cluster.Cluster) {
	i := p.Number % len(names)
	if p.standby {
		i = 0
	}
	return names[i], p.clusters[i]
}

// missed waits until every outer load balancer has found that a cluster is away.
func (p *play) missed(ctx context.Context, name string) error {
	return p.timed("out at the outer load balancers", func() error {
		return until(ctx, func(ctx context.Context) error {
			for _, outer := range p.outers {
				answer, err := cluster.AskHAProxy(ctx, outer.Socket(), "show servers state bck_clusters")
				if err != nil {
					return err
				}
				for _, server := range cluster.ReadServers(answer) {
					if server.Name == name && server.Up {
						return fmt.Errorf("%s has not been missed", name)
					}
				}
			}
			return nil
		})
	})
}

// returned waits until every outer load balancer sends to a cluster again.
func (p *play) returned(ctx context.Context, name string) error {
	return p.timed("back at the outer load balancers", func() error { return p.edge(ctx, "ready", name) })
}

// until asks for a condition until it holds.
func until(ctx context.Context, condition func(context.Context) error) error {
	return pause.Within(ctx, bound, 5*time.Millisecond, condition)
}

func killCluster(ctx context.Context, p *play) error {
	name, c := p.target()
	haproxy, err := c.HAProxy(ctx)
	if err != nil {
		return err
	}
	if err := c.SignalAll(haproxy, syscall.SIGKILL); err != nil {
		return err
	}
	if err := p.missed(ctx, name); err != nil {
		return err
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	for _, process := range c.Processes() {
		<-process.Done()
	}
	if err := p.timed("started again", func() error { return p.revive(ctx, c) }); err != nil {
		return err
	}
	return p.returned(ctx, name)
}

func (p *play) revive(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return c.Revive(ctx)
}

func killServers(ctx context.Context, p *play) error {
	name, c := p.target()
	for _, server := range c.Servers {
		server.Signal(syscall.SIGKILL)
	}
	if err := p.missed(ctx, name); err != nil {
		return err
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	for _, server := range c.Servers {
		<-server.Done()
	}
	if err := p.timed("started again", func() error { return p.revive(ctx, c) }); err != nil {
		return err
	}
	return p.returned(ctx, name)
}

// hang stops every process of a cluster for so long.
func hang(spell time.Duration) func(context.Context, *play) error {
	return func(ctx context.Context, p *play) (err error) {
		name, c := p.target()
		haproxy, err := c.HAProxy(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		defer func() { err = errors.Join(err, c.SignalAll(haproxy, syscall.SIGCONT)) }()
		if err := c.SignalAll(haproxy, syscall.SIGSTOP); err != nil {
			return err
		}
		if err := p.missed(ctx, name); err != nil {
			return err
		}
		if err := pause.For(ctx, spell-time.Since(began)); err != nil {
			return err
		}
		if err := c.SignalAll(haproxy, syscall.SIGCONT); err != nil {
			return err
		}
		return p.returned(ctx, name)
	}
}

func drain(ctx context.Context, p *play) error {
	name, c := p.target()
	if err := p.timed("drained", func() error { return p.edge(ctx, "drain", name) }); err != nil {
		return err
	}
	before, err := requests(ctx, c)
	if err != nil {
		return err
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	after, err := requests(ctx, c)
	if err != nil {
		return err
	}
	if after > before {
		p.Fail("the cluster that is drained got %d requests", after-before)
	}
	return p.returned(ctx, name)
}

// requests are those that the servers of a cluster have had.
func requests(ctx context.Context, c *cluster.Cluster) (n int, err error) {
	status, err := c.Status(ctx)
	for _, slot := range status.Slots {
		n += slot.Requests
	}
	return n, err
}
