package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// goodFor is how long a connection must last to count as a good one, if nothing was settled over it.
const goodFor = 5 * time.Second

// reconnecting calls serve, which serves one connection, again and again, until ctx ends or an error says that it is of
// no use. The connection after one that worked is tried at once, further ones after growing pauses; that after a refusal
// after longer ones, even if it worked before.
func reconnecting(ctx context.Context, status *tracker, log *slog.Logger, serve func(context.Context) (worked bool, err error)) error {
	var failures, refusals int // in a row
	status.enter(Connecting, "")
	for {
		worked, err := serve(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		do := react(err)
		if do == giveUp {
			return err
		}
		status.counts.disconnects.Add(1)
		log.Warn("not connected to the broker", "error", err)
		var delay time.Duration
		switch {
		case do == reconnectRarely:
			failures, refusals = 0, refusals+1
			delay = afterRefusal.after(refusals)
		case worked:
			failures, refusals = 0, 0
			status.enter(Connecting, err.Error())
			continue
		default:
			failures, refusals = failures+1, 0
			delay = toReconnect.after(failures)
		}
		status.enter(BackingOff, err.Error())
		if !pause(ctx, delay) {
			return context.Cause(ctx)
		}
	}
}

// ending follows the status until what it returns is called.
func (t *tracker) ending() (end func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		t.follow(done)
	}()
	return func() {
		close(done)
		<-over
	}
}

// end enters the last state, and makes of what ended the connector what its caller is told.
func (t *tracker) end(name string, err error) error {
	switch {
	case errors.Is(err, ErrFenced):
		t.enter(Fenced, err.Error())
	case errors.Is(err, ErrDefinition):
		t.enter(Failed, err.Error())
	default: // the context of the caller
		t.enter(Stopped, "")
		return nil
	}
	return fmt.Errorf("connector %q: %w", name, err)
}
