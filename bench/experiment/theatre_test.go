package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prop is a stage on which nothing runs.
type prop struct {
	kind, dir string
	spoiled   bool // by a trial that fell short
	closed    int
}

func (p *prop) Close(ctx context.Context) error {
	p.closed++
	return ctx.Err()
}

// props is a theatre of such stages, and all that it has built.
type props struct {
	Theatre[string, *prop]
	built []*prop
	fails int // so many builds fail, before one does not
}

func newProps(t *testing.T, o Options) *props {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	p := &props{}
	p.Theatre = Theatre[string, *prop]{Options: o, Build: func(_ context.Context, kind, dir string) (*prop, error) {
		stage := &prop{kind: kind, dir: dir}
		p.built = append(p.built, stage)
		if len(p.built) <= p.fails {
			return stage, errors.New("the port is taken")
		}
		return stage, nil
	}}
	return p
}

// playing is a scenario whose trials do what they are told, and nothing when that is over.
func playing(name, kind string, trials int, do ...func(*Trial) error) Scenario[string, *prop] {
	return Scenario[string, *prop]{
		Name: name, PassLine: "0 errors", Stage: kind,
		Turn: Turn[*prop]{Does: "break it", Trials: trials, Takes: 30 * time.Second, Play: func(_ context.Context, on *prop, trial *Trial) error {
			if on.spoiled || on.closed > 0 || on.kind != kind {
				return fmt.Errorf("%s is played on %+v", name, *on)
			}
			if trial.Number >= len(do) {
				return nil
			}
			err := do[trial.Number](trial)
			on.spoiled = err != nil || len(trial.Failures) > 0
			return err
		}},
	}
}

func well(*Trial) error { return nil }

func short(trial *Trial) error { trial.Fail("%d errors", 3); return nil }

func broken(*Trial) error { return errors.New("it does not come back") }

func TestAStageLastsUntilATrialFallsShortOrAnotherKindIsWanted(t *testing.T) {
	p := newProps(t, Options{})
	outcome, err := p.Run(t.Context(), []Scenario[string, *prop]{
		playing("a", "small", 3, well, short, well), playing("b", "small", 1), playing("c", "large", 2, broken, well),
	})
	if err != nil {
		t.Error(err)
	}
	var kinds []string
	var kept []bool
	for _, stage := range p.built {
		_, err := os.Stat(stage.dir)
		kinds, kept = append(kinds, stage.kind), append(kept, err == nil)
		if stage.closed != 1 {
			t.Errorf("%+v", *stage)
		}
	}
	if !slices.Equal(kinds, []string{"small", "small", "large", "large"}) || !slices.Equal(kept, []bool{true, false, true, false}) {
		t.Errorf("%q, of which the logs are kept: %v", kinds, kept)
	}
	if got := outcome.Shortfalls(); !slices.Equal(got, []string{"a, trial 2 of 3: 3 errors", "c, trial 1 of 2: it does not come back"}) {
		t.Errorf("%q", got)
	}
}

// TestNoTrialIsPlayedOnWhatAnotherHasSpoiled plays whatever comes; the scenarios themselves look at their stage.
func TestNoTrialIsPlayedOnWhatAnotherHasSpoiled(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	rapid.Check(t, func(r *rapid.T) {
		p := newProps(t, Options{})
		var all []Scenario[string, *prop]
		fell, want := 0, 0
		for i := range rapid.IntRange(1, 5).Draw(r, "scenarios") {
			var do []func(*Trial) error
			for range rapid.IntRange(1, 4).Draw(r, "trials") {
				which := rapid.IntRange(0, 2).Draw(r, "what")
				do, want = append(do, []func(*Trial) error{well, short, broken}[which]), want+1
				if which > 0 {
					fell++
				}
			}
			kind := rapid.SampledFrom([]string{"small", "large"}).Draw(r, "kind")
			all = append(all, playing(fmt.Sprint("s-", i), kind, len(do), do...))
		}
		outcome, err := p.Run(t.Context(), all)
		if err != nil {
			r.Fatal(err)
		}
		played, failures := 0, len(outcome.Shortfalls())
		for _, result := range outcome.Results {
			played += len(result.Trials)
		}
		if played != want || failures != fell {
			r.Errorf("%d of %d trials were played, and %d of %d fell short: %q", played, want, failures, fell, outcome.Shortfalls())
		}
		for _, stage := range p.built {
			if _, err := os.Stat(stage.dir); stage.closed != 1 || (err == nil) != stage.spoiled {
				r.Errorf("%+v, %v", *stage, err)
			}
		}
	})
}

func TestAStageIsBuiltAnewAsOftenAsThatIsWorth(t *testing.T) {
	for _, c := range []struct {
		fails, attempts int
		want            string
	}{{0, 0, ""}, {1, 0, "the port is taken"}, {2, 3, ""}, {3, 3, "the port is taken"}} {
		var said strings.Builder
		p := newProps(t, Options{Progress: &said})
		p.fails, p.Attempts = c.fails, c.attempts
		_, err := p.Run(t.Context(), []Scenario[string, *prop]{playing("a", "small", 1)})
		left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*"))
		if c.want == "" && (err != nil || len(left) > 0) || strings.Count(said.String(), "built anew") != len(p.built)-1 {
			t.Errorf("%+v: %v, left %q, said %s", c, err, left, said.String())
		}
		if c.want != "" && (err == nil || len(left) != 1 || !strings.Contains(err.Error(), "scenario a: "+c.want+" (the logs are kept in "+left[0])) {
			t.Errorf("%+v: %v, left %q", c, err, left)
		}
		for _, stage := range p.built {
			if stage.closed != 1 {
				t.Errorf("%+v: %+v", c, *stage)
			}
		}
	}
}

func TestAStageThatIsBrokenOffInBuildingLeavesNothing(t *testing.T) {
	p := newProps(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	build := p.Build
	p.fails, p.Attempts = 9, 3
	p.Build = func(ctx context.Context, kind, dir string) (*prop, error) {
		cancel()
		return build(ctx, kind, dir)
	}
	_, err := p.Run(ctx, []Scenario[string, *prop]{playing("a", "small", 1)})
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if !errors.Is(err, context.Canceled) || len(p.built) != 1 || p.built[0].closed != 1 || len(left) > 0 {
		t.Errorf("%v, %d stages were built, %q is left", err, len(p.built), left)
	}
}

func TestARunThatIsBrokenOffReturnsWhatThereIs(t *testing.T) {
	p := newProps(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(*Trial) error { cancel(); return errors.New("broken off") }
	outcome, err := p.Run(ctx, []Scenario[string, *prop]{playing("a", "small", 1), playing("b", "small", 3, well, stop), playing("c", "small", 1)})
	if !errors.Is(err, context.Canceled) || len(outcome.Results) != 2 || len(outcome.Results[1].Trials) != 1 {
		t.Errorf("%+v, %v", outcome, err)
	}
	if len(p.built) != 1 || p.built[0].closed != 1 {
		t.Errorf("%+v", p.built)
	}
	if _, err := os.Stat(p.built[0].dir); err == nil {
		t.Error("its folder is left")
	}
}
