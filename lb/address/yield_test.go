package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeFront is an HAProxy with connections, each of which ends at some time if it is told to; new ones come while they
// can.
type fakeFront struct {
	began     time.Time
	has       bool
	peer      bool          // takes the address when this one is worse
	moves     time.Duration // after that
	idle      time.Duration // until a connection of the beginning ends
	busy      time.Duration // until one that has begun since ends
	said      []string
	announced bool
	shut      time.Time
	given     time.Time
	fails     string // the call that fails
}

func (f *fakeFront) call(what string) error {
	f.said = append(f.said, what)
	if what == f.fails {
		return errors.New(what + " failed")
	}
	return nil
}

func (f *fakeFront) Has() (bool, error) {
	return f.has && (!f.peer || f.given.IsZero() || time.Since(f.given) < f.moves), nil
}

func (f *fakeFront) Announce(_ context.Context, on bool) error {
	f.announced = on
	return f.call(fmt.Sprintf("announce %v", on))
}

func (f *fakeFront) Shut(_ context.Context, shut bool) error {
	f.shut = time.Time{}
	if shut {
		f.shut = time.Now()
	}
	return f.call(fmt.Sprintf("shut %v", shut))
}

func (f *fakeFront) Open() (open []netip.AddrPort, err error) {
	end := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), port) }
	if !f.announced || time.Since(f.began) < f.idle {
		open = append(open, end(1))
	}
	if f.shut.IsZero() || time.Since(f.shut) < f.busy {
		open = append(open, end(uint16(time.Since(f.began)/time.Millisecond)+2)) // another one each time
	}
	return open, nil
}

func (f *fakeFront) Given() bool { return !f.given.IsZero() }

func (f *fakeFront) Give(away bool) error {
	f.given = time.Time{}
	if away {
		f.given = time.Now()
	}
	return f.call(fmt.Sprintf("give %v", away))
}

func TestYielding(t *testing.T) {
	const ms = time.Millisecond
	quick := Limits{Turnover: time.Second, Gate: 500 * ms, Tries: 3, Move: time.Second}
	forced := quick
	forced.Force = true
	inOrder := []string{"announce true", "shut true", "give true", "shut false", "announce false"}
	undone := []string{"give false", "shut false", "announce false"}
	for _, test := range []struct {
		name   string
		front  fakeFront
		limits Limits
		said   []string // at the end of it
		err    string
		text   string
	}{
		{"in order", fakeFront{has: true, peer: true, idle: 300 * ms, busy: 20 * ms, moves: 200 * ms}, quick, inOrder, "", "the address has gone: open connections ended in 300ms, and for 222ms nobody could begin one"},
		{"without the address", fakeFront{}, quick, []string{"give true"}, "", "does not have the address"},
		{"with an idle connection", fakeFront{has: true, peer: true, idle: time.Hour}, quick, append([]string{"announce true"}, undone...), "1 connections of the beginning are still open after 1s, so the address stays", ""},
		{
			"with long requests",
			fakeFront{has: true, peer: true, busy: time.Hour},
			quick,
			append([]string{"shut true", "shut false", "shut true", "shut false", "shut true"}, undone...), "1 requests were still in hand 500ms after the last one could begin, 3 times", "",
		},
		{"by force", fakeFront{has: true, peer: true, idle: time.Hour, busy: time.Hour}, forced, inOrder[2:], "", "2 connections were cut"},
		{"without a peer", fakeFront{has: true}, quick, append([]string{"announce true", "shut true", "give true"}, undone...), "nobody has taken the address within 1s, so it stays", ""},
		{"haproxy away", fakeFront{has: true, fails: "announce true"}, quick, append([]string{"announce true"}, undone...), "announce true failed", ""},
		{"no gate", fakeFront{has: true, peer: true, fails: "shut true"}, quick, append([]string{"shut true"}, undone...), "shut true failed", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := test.front
				f.began = time.Now()
				outcome, err := Yield(t.Context(), &f, test.limits)
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
					t.Errorf("%v, want %q", err, test.err)
				}
				if err == nil && !strings.Contains(outcome.String(), test.text) {
					t.Errorf("it says %q, want %q", outcome, test.text)
				}
				if len(f.said) < len(test.said) || !slices.Equal(f.said[len(f.said)-len(test.said):], test.said) {
					t.Errorf("it did %q, want %q at the end", f.said, test.said)
				}
				if f.announced || !f.shut.IsZero() || (err != nil) != f.given.IsZero() {
					t.Errorf("it leaves %+v", f)
				}
			})
		})
	}
}

func TestAYieldThatFailsLeavesTheMarkOfAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFront{began: time.Now(), has: true, given: time.Now().Add(-time.Hour)}
		if _, err := Yield(t.Context(), f, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "nobody has taken the address") {
			t.Error(err)
		}
		if f.announced || !f.shut.IsZero() || !f.Given() {
			t.Errorf("it leaves %+v", f)
		}
	})
}

func TestAnInterruptedYieldIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		f := &fakeFront{began: time.Now(), has: true, peer: true, busy: time.Hour}
		if _, err := Yield(ctx, f, DefaultLimits()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if f.announced || !f.shut.IsZero() || !f.given.IsZero() {
			t.Errorf("it leaves %+v", f)
		}
	})
}
