package address

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// Outlook is what a load balancer sees of the others. One that sees none of them, and no leader of Consul either, is most
// likely the one that is cut off, and has the virtual address as well as another on the other side. When they see each
// other again it is the worse place, so that those whom the other served go on undisturbed.
//
// Neither is enough alone: without a leader all go on as they are, and of a pair, one of which is dead, the other is the
// best place there is.
type Outlook struct {
	Peers  []string                        // host:port of the other load balancers' fronts; without any, nothing is seen
	Leader func(ctx context.Context) error // nil if Consul has a leader

	alone atomic.Bool
}

// The times of looking.
const (
	glanceInterval = 250 * time.Millisecond
	glanceTimeout  = 250 * time.Millisecond
	cutOffAfter    = 200 * time.Millisecond
	backAfter      = 2 * time.Second // so that keepalived has settled who is the better one
)

// Alone says whether nobody has been seen for a while.
func (o *Outlook) Alone() bool { return o.alone.Load() }

// resume goes on with what was seen when a value was told.
func (o *Outlook) resume(value int) {
	o.alone.Store(len(o.Peers) > 0 && value > Fault && value%(2*Alone) == Alone)
}

// follow looks until ctx ends.
func (o *Outlook) follow(ctx context.Context) {
	if len(o.Peers) == 0 {
		return
	}
	tick := time.NewTicker(glanceInterval)
	defer tick.Stop()
	counts := settled{counts: o.Alone(), heard: o.Alone()}
	for {
		sees := o.seesAnyone(ctx)
		if ctx.Err() != nil {
			return
		}
		o.alone.Store(counts.hear(time.Now(), !sees))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// seesAnyone asks Consul only if nobody else can be reached.
func (o *Outlook) seesAnyone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*glanceTimeout)
	defer cancel()
	seen := make(chan bool, len(o.Peers))
	for _, peer := range o.Peers {
		go func() { seen <- reachable(ctx, peer) }()
	}
	any := false
	for range o.Peers {
		any = <-seen || any
	}
	return any || o.Leader(ctx) == nil
}

// reachable says whether a machine answers, if only by refusing.
func reachable(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: glanceTimeout}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}

// settled is whether one has been cut off for long enough to count, and not been back for long enough.
type settled struct {
	counts, heard bool
	since         time.Time
}

func (s *settled) hear(at time.Time, alone bool) bool {
	if alone != s.heard {
		s.heard, s.since = alone, at
	}
	need := backAfter
	if alone {
		need = cutOffAfter
	}
	if s.counts != alone && at.Sub(s.since) >= need {
		s.counts = alone
	}
	return s.counts
}
