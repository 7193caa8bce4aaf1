package pause

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		for _, d := range []time.Duration{time.Minute, 0, -time.Minute} {
			if err := For(t.Context(), d); err != nil {
				t.Errorf("%s: %v", d, err)
			}
		}
		if passed := time.Since(began); passed != time.Minute {
			t.Errorf("%s passed", passed)
		}
	})
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := For(ctx, time.Minute); err != context.DeadlineExceeded || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if err := For(ctx, 0); err != context.DeadlineExceeded {
			t.Errorf("of an ended context: %v", err)
		}
	})
}
