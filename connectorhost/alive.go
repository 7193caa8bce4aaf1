package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"zatoha/deploy/program"
)

// beatless is how long the lease may go without a beat, be it one that failed, before the host counts as hung.
const beatless = 5 * time.Second

// beaten is told of each beat of the lease. One that failed tells too that the lease is competed for.
func (h *host) beaten(took time.Duration, err error) {
	h.beat.Store(int64(time.Since(h.began)))
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	h.beats.WithLabelValues(outcome).Observe(took.Seconds())
}

// alive says whether the host still does what it is there for: it competes for the lease, and it answers what it is
// asked, which takes the lock that all of its parts share.
func (h *host) alive(ctx context.Context, listening net.Addr) error {
	if silent := time.Since(h.began) - time.Duration(h.beat.Load()); silent > max(beatless, 5*h.LeaseTTL) {
		return fmt.Errorf("the lease was not competed for in %v", silent.Round(time.Millisecond))
	}
	if _, err := program.AskSelf(ctx, listening, "/connectors"); err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	return nil
}
