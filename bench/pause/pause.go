// Package pause lets time go by, for as long as somebody is there to wait.
//
// One case: `pause.For(ctx, time.Second)` is nil after a second; if ctx ends after half of one, it is ctx's error then.
package pause

import (
	"context"
	"time"
)

// For returns nil when d has passed, or the context's error as soon as that has ended. It returns at once if d is not
// positive.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
