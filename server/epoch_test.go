package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A server that does not know who may act waits to be told, but not for ever.
func TestTheEpochIsKnownFromConsulOrAfterAWhileWithoutIt(t *testing.T) {
	for _, test := range []struct {
		name    string
		away    time.Duration // from the start
		lock    []byte
		known   time.Duration
		highest uint64
	}{
		{"at once", 0, []byte(`{"epoch": 7}`), 0, 7},
		{"there was never a host", 0, nil, 0, 0},
		{"Consul is away for a moment", 1950 * time.Millisecond, []byte(`{"epoch": 7}`), 2 * time.Second, 7},
		{"Consul is away", time.Hour, []byte(`{"epoch": 7}`), informedTimeout, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				agent := &stubAgent{start: time.Now(), away: test.away > 0, epochLock: test.lock}
				time.AfterFunc(test.away, func() { agent.set(func() { agent.away = false }) })
				e := newEpoch()
				following := begin(func() error { e.follow(ctx, agent, "main", zerolog.Nop()); return nil })
				<-e.known
				if took := time.Since(agent.start); took != test.known || e.fence.Highest() != test.highest {
					t.Errorf("known after %v, want %v; epoch %d, want %d", took, test.known, e.fence.Highest(), test.highest)
				}
				stop()
				<-following.done
			})
		})
	}
}
