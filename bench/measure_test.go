package main

import (
	"context"
	"errors"
	"testing"

	"zatoha/bench/measure"
	"zatoha/bench/report"
)

func TestAMeasurementThatWasInterruptedHasNotPassed(t *testing.T) {
	for name, c := range map[string]struct {
		outcome   measure.Outcome
		err       error
		fellShort bool
	}{
		"interrupted": {measure.Outcome{}, context.Canceled, true},
		"failed":      {measure.Outcome{Page: report.New("Figures", "here")}, nil, true},
		"passed":      {measure.Outcome{Page: report.New("Figures", "here"), Passed: true}, nil, false},
	} {
		g := &grammar{Out: t.TempDir()}
		err := g.takeWith(t.Context(), programs{}, "figures", 1, func(context.Context, measure.Options) (measure.Outcome, error) {
			return c.outcome, c.err
		})
		if !errors.Is(err, c.err) || g.fellShort != c.fellShort {
			t.Errorf("%s: fell short: %v, %v", name, g.fellShort, err)
		}
	}
}
