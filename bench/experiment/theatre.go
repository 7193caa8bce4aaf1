package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"
)

// Stage is a running cluster, or several.
type Stage interface {
	// Close ends all of it, or as much as there is.
	Close(ctx context.Context) error
}

// Theatre has one stage at a time and keeps it from trial to trial as long as nothing goes wrong on it.
type Theatre[K any, S Stage] struct {
	Options
	// Build starts a stage of a kind, whose files are all in a folder. With an error it returns what there is of it, to be
	// closed.
	Build    func(ctx context.Context, kind K, dir string) (S, error)
	Attempts int // to build one: somebody else may take a port that was found free; 0 is 1

	progress *progress
	stands   bool
	kind     K
	stage    S
	dir      string
}

// ending is generous: a stage that takes longer to close is broken.
const ending = 90 * time.Second

// trial plays a turn once on a stage of the kind.
func (t *Theatre[K, S]) trial(ctx context.Context, kind K, turn Turn[S], number int, label string) (trial Trial, err error) {
	if err := t.set(ctx, kind); err != nil {
		return trial, err
	}
	trial = Trial{Number: number, slack: t.Slack}
	err = turn.Play(ctx, t.stage, &trial)
	if ctx.Err() != nil {
		return trial, ctx.Err()
	}
	if err != nil {
		trial.Fail("%v", err)
	}
	t.progress.trial(label, trial)
	if len(trial.Failures) == 0 {
		return trial, nil
	}
	t.progress.note(label + "  the logs are kept in " + t.dir)
	return trial, t.strike(ctx, true) // what is left of it is no place for another trial
}

// set has a stage of the kind up.
func (t *Theatre[K, S]) set(ctx context.Context, kind K) error {
	if t.stands && reflect.DeepEqual(t.kind, kind) {
		return nil
	}
	if err := t.strike(ctx, false); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := t.build(ctx, kind)
		if err == nil {
			return nil
		}
		err = errors.New(err.Error()) // now, as it quotes from the logs
		broken := attempt >= t.Attempts && ctx.Err() == nil
		if broken {
			err = fmt.Errorf("%w (the logs are kept in %s)", err, t.dir)
		}
		if struck := t.strike(ctx, broken); broken || struck != nil || ctx.Err() != nil {
			return errors.Join(err, struck, ctx.Err())
		}
		t.progress.note("the stage is built anew: " + err.Error())
	}
}

func (t *Theatre[K, S]) build(ctx context.Context, kind K) (err error) {
	if t.dir, err = os.MkdirTemp("", "zatoha"); err != nil { // short, for Unix sockets
		return err
	}
	t.stage, err = t.Build(ctx, kind, t.dir)
	t.stands, t.kind = true, kind
	return err
}

// strike takes the stage down, also when ctx has ended.
func (t *Theatre[K, S]) strike(ctx context.Context, keep bool) error {
	if !t.stands {
		return nil
	}
	t.stands = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
	defer cancel()
	err := t.stage.Close(ctx)
	if keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}
