package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zatoha/bench/experiment"
	"zatoha/bench/history"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// play is a trial under way.
type play struct {
	*scene
	*experiment.Trial
	holder *connectorHost     // that was active at the beginning
	before cluster.HostStatus // what it said then
	began  time.Time          // of the fault
}

const settling = 300 * time.Millisecond // of messages before the fault, and after it

// play plays a scenario once and looks at the history.
func (s scenario) play(ctx context.Context, on *scene, trial *experiment.Trial) (err error) {
	p := &play{scene: on, Trial: trial}
	defer trial.WatchProcessors(s.lighter)()
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
	s.silences(p)
	runs, err := p.witness.runs()
	if err != nil {
		return err
	}
	for _, fault := range append(history.Check(runs), history.CheckEffects(p.effects)...) {
		p.Fail("%s", fault)
	}
	p.Failures = slices.Compact(p.Failures)
	return nil
}

// mostBeside is how long connectors may be silent that a fault is not for. They hear every few milliseconds, so only
// something broken exceeds it.
const mostBeside = 500 * time.Millisecond

// silences measures for how long no message came of those that the fault is for, and beside it of the others.
func (s scenario) silences(p *play) {
	hit, beside := p.names, []string(nil)
	if s.one {
		hit = []string{p.target()}
		beside = slices.DeleteFunc(slices.Clone(p.names), func(name string) bool { return name == p.target() })
	}
	if s.gap > 0 {
		p.silence(s.gapIs, hit, s.gap)
	}
	if len(beside) > 0 {
		p.silence("the others' longest silence", beside, mostBeside)
	}
}

// silence measures for how long no message came of some connectors: of the one that fared worst.
func (p *play) silence(what string, names []string, limit time.Duration) {
	var worst time.Duration
	for _, name := range names {
		longest, ok := history.Silence(p.effects, name, p.began)
		if !ok {
			p.Fail("no message of %s came after the fault", name)
		}
		worst = max(worst, longest)
	}
	p.Measure(what, worst, limit)
}

// target is the connector that a fault of one connector is for.
func (p *play) target() string { return p.names[p.Number%len(p.names)] }

// undisturbed is how long whoever takes over is not asked how far it is.
const undisturbed = 100 * time.Millisecond

// another waits until another host than the holder is active under a higher epoch, and all connectors get messages.
func (p *play) another(ctx context.Context) error {
	return pause.Within(ctx, bound, max(p.glances(), undisturbed), func(ctx context.Context) error {
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
func processes(r cluster.HostStatus) map[string]int {
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
			p.Fail("connector %s has process %d, and had %d", name, is[name], was[name])
		}
	}
	return nil
}

// totals are of the whole histories.
type totals struct {
	runs, messages, repeated, tenures int
	faults                            []string // of which there should be none
}

// add adds up the history of a scene.
func (t *totals) add(s *scene) {
	if s.witness == nil {
		return
	}
	runs, _ := s.witness.runs()
	epochs := map[uint64]bool{}
	for _, r := range runs {
		epochs[r.Epoch] = true
	}
	t.runs += len(runs)
	t.tenures += len(epochs)
	t.messages += len(s.effects)
	t.repeated += history.Repeated(s.effects)
	for _, fault := range append(history.Check(runs), history.CheckEffects(s.effects)...) {
		t.faults = append(t.faults, fault.String())
	}
}

func (t *totals) String() string {
	return fmt.Sprintf("%d tenures, %d runs of connectors, %d messages: %d faults in the history, %d messages came twice",
		t.tenures, t.runs, t.messages, len(t.faults), t.repeated)
}
