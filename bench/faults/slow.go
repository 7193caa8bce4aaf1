package faults

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/measure"
	"zatoha/bench/slow"
	"zatoha/deploy/cluster"
)

// Slowness is what clients got in the three parts of a round: left alone; while an attack goes on against another
// HAProxy of this machine, which shows what the attack costs everybody here; and while it goes on against ours.
type Slowness struct {
	Undisturbed, Control, Attacked load.Report
	Attack                         slow.Counts // of that against ours
}

// slowRound plays one round of an attack; each part is watched for so long.
func slowRound(by attack, watched time.Duration) fault {
	return func(ctx context.Context, p *play) error {
		other, stop, err := p.bystander()
		if err != nil {
			return err
		}
		defer stop()
		before, err := p.Status(ctx)
		if err != nil {
			return err
		}
		s := &Slowness{}
		parts := []func() error{
			func() (err error) { s.Undisturbed, err = p.watch(ctx, watched); return err },
			func() (err error) { s.Control, _, err = p.attacked(ctx, by, other, watched); return err },
			func() (err error) { s.Attacked, s.Attack, err = p.attacked(ctx, by, p.Front, watched); return err },
		}
		for i := range parts { // in turn, and each comes first as often
			if err := parts[(i+p.Number)%len(parts)](); err != nil {
				return err
			}
		}
		p.Detail, p.Load = s, s.Attacked
		for _, part := range []load.Report{s.Undisturbed, s.Control} {
			if part.Errors() > 0 {
				p.Fail("%d errors while ours was not attacked: %s", part.Errors(), part)
			}
		}
		p.Measure("p99 undisturbed", s.Undisturbed.Latency.P99, 0)
		p.Measure("p99 with another attacked (control)", s.Control.Latency.P99, 0)
		p.Measure("p99 attacked", s.Attacked.Latency.P99, 0)
		return p.unharmed(ctx, before)
	}
}

// bystander starts another HAProxy, with the same servers, for the control.
func (p *play) bystander() (address string, stop func(), err error) {
	free, err := cluster.FreeConfig(0)
	if err != nil {
		return "", nil, err
	}
	path := filepath.Join(p.dir, "bystander.cfg")
	if err := os.WriteFile(path, []byte(measure.Bare(free.Front, p.Config.Servers)), 0o644); err != nil {
		return "", nil, err
	}
	haproxy, err := p.Launch("bystander", p.HAProxyBin, "-db", "-f", path)
	if err != nil {
		return "", nil, err
	}
	return free.Front, haproxy.Kill, nil
}

// watch looks for a while how clients of ours fare.
func (p *play) watch(ctx context.Context, d time.Duration) (load.Report, error) {
	during, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	report, err := load.Run(during, load.Options{Addr: p.Front, Connections: 32, Rate: 1000, Templates: []load.Template{get}})
	return report, errors.Join(err, ctx.Err())
}

// attacked watches while an attack goes on, from when all of its connections are made.
func (p *play) attacked(ctx context.Context, by attack, address string, d time.Duration) (load.Report, slow.Counts, error) {
	stop, err := by(ctx, p, address)
	if err != nil {
		return load.Report{}, slow.Counts{}, err
	}
	report, err := p.watch(ctx, d)
	counts, stopErr := stop()
	return report, counts, errors.Join(err, stopErr)
}

// unharmed wants HAProxy to be the one it was, and nobody to have told of a panic.
func (p *play) unharmed(ctx context.Context, before cluster.Status) error {
	after, err := p.Status(ctx)
	if err != nil {
		return err
	}
	if after.HAProxy.Worker != before.HAProxy.Worker {
		p.Fail("haproxy was restarted: worker %d, then %d", before.HAProxy.Worker, after.HAProxy.Worker)
	}
	logs, err := filepath.Glob(filepath.Join(p.LogDir(), "*.log"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("panic")) {
			p.Fail("%s tells of a panic", filepath.Base(path))
		}
	}
	return nil
}
