package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Front is what yielding needs of HAProxy, the kernel and keepalived.
type Front interface {
	// Has says whether this machine has the address.
	Has() (bool, error)
	// Announce has HAProxy close each connection to the address behind its next answer, or no longer.
	Announce(ctx context.Context, on bool) error
	// Shut lets no connection to the address begin, or lets them again. Who tries meanwhile hears nothing, and tries again.
	Shut(ctx context.Context, shut bool) error
	// Open are the far ends of the connections to the address over which something may still have to be said.
	Open() ([]netip.AddrPort, error)
	// Given says whether this is the worse place for the address.
	Given() bool
	// Give makes it that, or no longer.
	Give(away bool) error
}

// Limits are the times that yielding may take.
type Limits struct {
	Turnover time.Duration // until the connections of the beginning have ended
	Gate     time.Duration // for which nobody can connect, at most, until all is said; then they can for a while, and it is tried again
	Tries    int           // of that
	Move     time.Duration // until the address has gone, after that
	Force    bool          // goes on when the first two are over, at the price of the connections that are left
}

// DefaultLimits wait for as long as a client may keep a connection without a request.
func DefaultLimits() Limits {
	return Limits{Turnover: 65 * time.Second, Gate: 500 * time.Millisecond, Tries: 10, Move: 5 * time.Second}
}

// Outcome says what yielding took.
type Outcome struct {
	Had      bool          // there was something to give
	Turnover time.Duration // until the connections of the beginning had ended
	Shut     time.Duration // for which nobody could connect
	Cut      int           // connections that were not over
}

func (o Outcome) String() string {
	if !o.Had {
		return "this load balancer does not have the address, and will not take it while another is as good"
	}
	text := fmt.Sprintf("the address has gone: open connections ended in %v, and for %v nobody could begin one",
		o.Turnover.Round(time.Millisecond), o.Shut.Round(time.Millisecond))
	if o.Cut > 0 {
		text += fmt.Sprintf("; %d connections were cut", o.Cut)
	}
	return text
}

const (
	lookInterval = 2 * time.Millisecond
	breather     = 500 * time.Millisecond // between two tries, for those who could not connect
	undoTimeout  = 5 * time.Second
)

// errLate says that a condition did not come about in time.
var errLate = errors.New("too late")

// Yield gives the address away. If that fails, all is as before.
func Yield(ctx context.Context, f Front, limits Limits) (o Outcome, err error) {
	if o.Had, err = f.Has(); err != nil {
		return o, err
	}
	if !o.Had {
		return o, f.Give(true)
	}
	y := &yielding{Front: f, limits: limits}
	before := f.Given() // by an earlier yield, if the address has come back because nobody else could have it
	defer func() {
		undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if err != nil {
			err = errors.Join(err, f.Give(before))
		}
		err = errors.Join(err, f.Shut(undoing, false), f.Announce(undoing, false))
	}()
	began := time.Now()
	if err := y.turnOver(ctx); err != nil {
		return o, err
	}
	o.Turnover = time.Since(began)
	if o.Cut, err = y.silence(ctx); err != nil {
		return o, err
	}
	if err := f.Give(true); err != nil {
		return o, err
	}
	if err := y.gone(ctx); err != nil {
		return o, err
	}
	o.Shut = time.Since(y.shut)
	return o, nil
}

type yielding struct {
	Front
	limits Limits
	shut   time.Time // since when nobody can connect
}

// turnOver has HAProxy announce that connections end, and waits until those of the beginning have: behind an answer, or,
// without a request, when the time that they may be idle is over.
func (y *yielding) turnOver(ctx context.Context) error {
	if err := y.Announce(ctx, true); err != nil {
		return err
	}
	left, err := y.Open()
	if err != nil {
		return err
	}
	err = await(ctx, y.limits.Turnover, func() (bool, error) {
		now, err := y.Open()
		left = common(left, now)
		return len(left) == 0, err
	})
	if errors.Is(err, errLate) && y.limits.Force {
		return nil
	}
	if errors.Is(err, errLate) {
		return fmt.Errorf("%d connections of the beginning are still open after %v, so the address stays: WebSockets and HTTP/2 clients "+
			"have to end by themselves; give them more time by --turnover, or cut them by --force", len(left), y.limits.Turnover)
	}
	return err
}

// common are the connections that are in both.
func common(a, b []netip.AddrPort) (both []netip.AddrPort) {
	in := map[netip.AddrPort]bool{}
	for _, end := range b {
		in[end] = true
	}
	for _, end := range a {
		if in[end] {
			both = append(both, end)
		}
	}
	return both
}

// silence lets nobody begin, and waits until all is said. Whoever is slow has several tries, between which others can
// begin. It returns with the gate shut, or an error, and says how many connections are left.
func (y *yielding) silence(ctx context.Context) (left int, err error) {
	for try := 1; ; try++ {
		y.shut = time.Now()
		if err := y.Shut(ctx, true); err != nil {
			return 0, err
		}
		quiet := 0
		err := await(ctx, y.limits.Gate, func() (bool, error) {
			open, err := y.Open()
			if left = len(open); left > 0 {
				quiet = 0
			} else {
				quiet++ // the kernel's list is not written at one stroke
			}
			return quiet == 2, err
		})
		if err == nil || errors.Is(err, errLate) && y.limits.Force && try >= y.limits.Tries {
			return left, nil
		}
		if !errors.Is(err, errLate) {
			return left, err
		}
		if try >= y.limits.Tries {
			return left, fmt.Errorf("%d requests were still in hand %v after the last one could begin, %d times, so the address stays: "+
				"try again when there are no long ones, give them more time by --gate, or cut them by --force", left, y.limits.Gate, try)
		}
		if err := y.Shut(ctx, false); err != nil {
			return left, err
		}
		if err := await(ctx, breather, func() (bool, error) { return false, nil }); !errors.Is(err, errLate) {
			return left, err
		}
	}
}

// gone waits until another has the address.
func (y *yielding) gone(ctx context.Context) error {
	err := await(ctx, y.limits.Move, func() (bool, error) {
		has, err := y.Has()
		return !has, err
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("nobody has taken the address within %v, so it stays: is keepalived running on another load balancer, "+
			"and does /zato-lb-alive say 200 there? And is `lb track` running here?", y.limits.Move)
	}
	return err
}

// await looks until the condition holds; after a while without that it is errLate.
func await(ctx context.Context, limit time.Duration, holds func() (bool, error)) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return errLate
		case <-tick.C:
		}
	}
}
