package connector

import "errors"

// The errors that choose behaviour. A kind wraps one of them with %w, prefixed by what was being done, and with the
// broker's own words behind it: `fmt.Errorf("declare queue %q: %w: %v", …)`. An error that wraps none of them counts as
// [ErrNotConnected] when it comes from a Source or Sink, and as a failed attempt when it comes from an [Invoker].
var (
	// ErrNotConnected: there is no connection (any more). The loop closes, and connects again: the first time at once,
	// then ever more slowly.
	ErrNotConnected = errors.New("not connected")

	// ErrBackOff: the connection is good, but now is not the time. The loop waits a moment and calls again.
	ErrBackOff = errors.New("back off")

	// ErrHeld: somebody else has what only one can have. The loop keeps the connection and asks again soon, for ever.
	ErrHeld = errors.New("held by another")

	// ErrRefused: the broker answered, and said no: a wrong password, no such queue. Somebody may mend that without
	// touching the definition, so the loop tries again, but rarely, and shows the reason.
	ErrRefused = errors.New("refused")

	// ErrDefinition: the connector can never work as it is defined. [Run] ends with it.
	ErrDefinition = errors.New("definition cannot work")

	// ErrUnfit: this message can never be taken, by the service or by the broker. It is parked at once, or the sender is
	// told so.
	ErrUnfit = errors.New("unfit message")

	// ErrUnavailable, of an [Invoker]: the service was not reached. It does not count as an attempt.
	ErrUnavailable = errors.New("service unavailable")

	// ErrInterrupted, of an [Invoker]: a server had the message and was gone before it answered. Whether it died of the
	// message shows only when it happens again and again: it counts, against a limit of its own.
	ErrInterrupted = errors.New("interrupted")

	// ErrNotSent, of [Sender.Send]: the broker surely does not have the message.
	ErrNotSent = errors.New("not sent")

	// ErrFenced, of an [Invoker]: a server knows of a later holder of the lease. [Run] ends with it, at once.
	ErrFenced = errors.New("fenced by a later holder of the lease")
)
