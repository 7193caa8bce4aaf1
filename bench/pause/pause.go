// Package pause lets time go by, for as long as somebody is there to wait.
//
// One case: `pause.For(ctx, time.Second)` is nil after a second; if ctx ends after half of one, it is ctx's error then.
// [Until] waits for something instead, and [Within] no longer than it may take.
package pause

import (
	"context"
	"fmt"
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

// Within is Until for a condition that has so much time to come true.
func Within(ctx context.Context, bound, every time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := Until(ctx, every, condition); err != nil {
		return fmt.Errorf("not within %v: %w", bound, err)
	}
	return nil
}

// Until asks for a condition, and again every so often, until it holds or ctx ends. Its error then has the condition's
// last one, which says what is missing, beside ctx's.
func Until(ctx context.Context, every time.Duration, condition func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
