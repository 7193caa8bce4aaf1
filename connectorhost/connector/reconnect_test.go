package connector

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// Each connection ends as the test says, and the pauses in between are within these.
func TestPausesGrowByWhatEndedTheConnections(t *testing.T) {
	const s = time.Second
	type connection struct {
		worked      bool
		err         error
		least, most time.Duration // until the next
	}
	for name, connections := range map[string][]connection{
		"a broker that is away, is back, and refuses": {
			{false, ErrNotConnected, 0, s / 10},
			{false, ErrNotConnected, s / 10, s / 5},
			{false, ErrNotConnected, s / 5, s / 2},
			{false, ErrRefused, s / 2, s},
			{false, ErrRefused, s, 2 * s},
			{false, ErrNotConnected, 0, s / 10},
		},
		"one that works and is lost": {{true, ErrNotConnected, 0, 0}, {false, ErrNotConnected, 0, s / 10}, {true, ErrNotConnected, 0, 0}},
		"one that works until it refuses something": {
			{true, ErrRefused, s / 2, s}, {true, ErrRefused, s, 2 * s}, {true, ErrNotConnected, 0, 0}, {true, ErrRefused, s / 2, s},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended time.Time
				turn, last := 0, errors.Join(errors.New("the end"), ErrDefinition)
				err := reconnecting(t.Context(), newTracker(&Definition{Settings: nothing{}}, nil), slog.New(slog.DiscardHandler), func(context.Context) (bool, error) {
					if turn > 0 {
						before := connections[turn-1]
						if pause := time.Since(ended); pause < before.least || pause > before.most {
							t.Errorf("%v after connection %d, want %v to %v", pause, turn, before.least, before.most)
						}
					}
					if turn == len(connections) {
						return true, last
					}
					c := connections[turn]
					turn, ended = turn+1, time.Now()
					return c.worked, c.err
				})
				if err != last {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}
