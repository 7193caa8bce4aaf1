package pause

import (
	"context"
	"errors"
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

func TestWaitingForAConditionTellsWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := errors.New("it has not come")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began, asked := time.Now(), 0
		err := Until(ctx, 300*time.Millisecond, func(context.Context) error {
			if asked++; asked < 3 {
				return missing
			}
			return nil
		})
		if err != nil || asked != 3 || time.Since(began) != 600*time.Millisecond {
			t.Errorf("%v after %s, asked %d times", err, time.Since(began), asked)
		}
		err = Within(ctx, 200*time.Millisecond, 50*time.Millisecond, func(context.Context) error { return missing })
		if err == nil || err.Error() != "not within 200ms: context deadline exceeded: it has not come" || ctx.Err() != nil {
			t.Error(err)
		}
		err = Until(ctx, 300*time.Millisecond, func(context.Context) error { return missing })
		if !errors.Is(err, missing) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
