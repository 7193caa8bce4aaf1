package reconcile

import (
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/lb/state"
)

func TestHowOldTheLastGoodSetIsIsKnown(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		whole := func(when string, so bool, at time.Time) {
			t.Helper()
			if r := w.Report(); r.Whole() != so || !r.LastWhole.Equal(at) {
				t.Errorf("%s: %v, last at %v, want %v, %v", when, r.Whole(), r.LastWhole, so, at)
			}
		}
		whole("before Consul has answered", false, time.Time{})
		w.catalog(t, "web-1 passing", "web-2 passing")
		pass(time.Hour)
		good := time.Now() // a round is due every 5 s, so also now
		whole("with all as Consul says", true, good)
		w.catalog(t)
		pass(time.Hour)
		whole("with an empty catalog, which is held", false, good)
		w.Observe(t.Context(), consul.Observation{Err: errors.New("connection refused")})
		pass(time.Hour)
		whole("without Consul", false, good)
		w.catalog(t, "web-1 passing", "web-2 passing")
		back := time.Now()
		whole("with Consul back", true, back)
		w.Observe(t.Context(), consul.Observation{Err: errors.New("connection refused")})
		pass(time.Hour)
		whole("without Consul again", false, back)
	})
	longAgo := time.Now().Add(-time.Hour)
	l := New(state.NewPool(1), &fakePlane{}, &fakePlane{}, zerolog.Nop(), Options{LastWhole: longAgo})
	if now := l.Report(); now.Whole() || !now.LastWhole.Equal(longAgo) {
		t.Errorf("after a start it is %v, %v", now.Whole(), now.LastWhole)
	}
}
