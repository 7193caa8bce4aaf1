package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zatoha/bench/faults"
	"zatoha/bench/history"
	"zatoha/bench/pause"
)

// play is a trial under way.
type play struct {
	*scene
	number int // from 0
	trial  faults.Trial
	holder *connectorHost // that was active at the beginning
	before word           // what it said then
	began  time.Time      // of the fault
}

const settling = 300 * time.Millisecond // of messages before the fault, and after it

// perform plays a scenario and looks at the history.
func (p *play) perform(ctx context.Context, s scenario) (err error) {
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	if p.holder, p.before, err = p.active(ctx); err != nil {
		return err
	}
	p.began = time.Now()
	if err := s.fault(ctx, p); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	if err := pause.For(ctx, settling); err != nil {
		return err
	}
	if err := p.read(); err != nil {
		return err
	}
	if s.gap > 0 {
		names := p.names
		if s.one {
			names = []string{p.target()}
		}
		p.silence(s.gapIs, names, s.gap)
	}
	runs, err := p.witness.runs()
	if err != nil {
		return err
	}
	for _, fault := range append(history.Check(runs), history.CheckEffects(p.effects)...) {
		p.fail("%s", fault)
	}
	p.trial.Failures = slices.Compact(p.trial.Failures)
	return nil
}

// silence measures for how long no message came of some connectors: of the one that fared worst.
func (p *play) silence(what string, names []string, limit time.Duration) {
	var worst time.Duration
	for _, name := range names {
		longest, ok := history.Silence(p.effects, name, p.began)
		if !ok {
			p.fail("no message of %s came after the fault", name)
		}
		worst = max(worst, longest)
	}
	p.measured(what, worst, limit)
}

// target is the connector that a fault of one connector is for.
func (p *play) target() string { return p.names[p.number%len(p.names)] }

// measured notes a time, and that it was too long; a limit of 0 is none.
func (p *play) measured(what string, took, limit time.Duration) {
	p.trial.Measured = append(p.trial.Measured, faults.Measured{What: what, Took: took, Limit: limit})
	if limit > 0 && took > limit {
		p.fail("%s took %s, at most %s may be", what, faults.Readable(took), faults.Readable(limit))
	}
}

func (p *play) fail(format string, args ...any) {
	p.trial.Failures = append(p.trial.Failures, fmt.Sprintf(format, args...))
}

// another waits until another host than the holder is active under a higher epoch, and all connectors get messages.
func (p *play) another(ctx context.Context) error {
	return p.until(ctx, func(ctx context.Context) error {
		for _, h := range p.hosts {
			if h == p.holder {
				continue
			}
			if r, err := h.said(ctx); err == nil && r.Role == "active" && r.Holder.Epoch > p.before.Holder.Epoch {
				return p.heard(p.began, r.Holder.Epoch)
			}
		}
		return errors.New("no other host has taken over")
	})
}

// processes are the pids of the holder's connectors, by name.
func processes(r word) map[string]int {
	pids := map[string]int{}
	for _, c := range r.Connectors {
		pids[c.Name] = c.PID
	}
	return pids
}

// untouched fails the trial if the holder's connectors have other processes than before, but for one.
func (p *play) untouched(ctx context.Context, but string) error {
	after, err := p.holder.said(ctx)
	if err != nil {
		return err
	}
	was, is := processes(p.before), processes(after)
	for _, name := range p.names {
		if same := was[name] == is[name]; same == (name == but) {
			p.fail("connector %s has process %d, and had %d", name, is[name], was[name])
		}
	}
	return nil
}

// add adds up the history of a scene.
func (t *Totals) add(s *scene) {
	if s.witness == nil {
		return
	}
	runs, _ := s.witness.runs()
	epochs := map[uint64]bool{}
	for _, r := range runs {
		epochs[r.Epoch] = true
	}
	t.Storms = append(t.Storms, s.storms...)
	t.Runs += len(runs)
	t.Tenures += len(epochs)
	t.Messages += len(s.effects)
	t.Repeated += history.Repeated(s.effects)
	for _, fault := range append(history.Check(runs), history.CheckEffects(s.effects)...) {
		t.Faults = append(t.Faults, fault.String())
	}
}
