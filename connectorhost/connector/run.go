package connector

import (
	"context"
	"errors"
	"time"
)

// Options say how [Run] runs a connector.
type Options struct {
	// Report is told the status: at once when the state changes, and at most once a second while only counts do. It is
	// called by one goroutine at a time. May be nil.
	Report func(Status)

	// Begin, if not nil, makes Run wait, connected and prepared, until it is closed, before the first message is taken.
	// That is how a new process stands ready while the old one finishes.
	Begin <-chan struct{}

	// Drain bounds how long a stopped channel may take to finish what is in flight; what is not finished then is given
	// back. 0 stands for [DefaultDrain].
	Drain time.Duration
}

// DefaultDrain is for channels that are not told how long.
const DefaultDrain = 10 * time.Second

// Run runs a channel until ctx ends, which is a clean stop and no error: it receives no more, finishes what is in flight,
// settles it and closes. It ends earlier, with an error, when it is fenced ([ErrFenced]: at once, nothing is finished,
// the broker gets back what is unsettled) and when the definition cannot work ([ErrDefinition]). Nothing else ends it.
func Run(ctx context.Context, d *Definition, invoker Invoker, options Options) error {
	return errors.ErrUnsupported
}
