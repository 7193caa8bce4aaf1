package admin

import (
	"context"
	"sync"
	"time"
)

const (
	sampleEvery = time.Minute
	remembered  = time.Hour
	// settled is the least time that growth is spread over, so that a few newcomers just after a start are no trend.
	settled = 10 * time.Minute
)

// growth remembers how many slots were in use in the last hour, one number a minute. Its zero value remembers nothing.
// Its methods may be called from several goroutines.
type growth struct {
	mu      sync.Mutex
	samples []sample // the oldest first
}

type sample struct {
	at   time.Time
	used int
}

// watch takes a sample every minute until ctx ends.
func (g *growth) watch(ctx context.Context, used func() int) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-ticker.C:
			g.note(at, used())
		}
	}
}

// note adds a sample and forgets those that are too old.
func (g *growth) note(at time.Time, used int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := 0
	for old < len(g.samples) && at.Sub(g.samples[old].at) > remembered {
		old++
	}
	g.samples = append(g.samples[old:], sample{at, used})
}

// freeFor is after how many seconds the free slots are used up if it goes on as it did; nil if it does not grow.
func (g *growth) freeFor(now time.Time, used, free int) *float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.samples) == 0 {
		return nil
	}
	since := g.samples[0]
	grown := used - since.used
	if grown <= 0 {
		return nil
	}
	rate := float64(grown) / max(now.Sub(since.at), settled).Seconds()
	seconds := float64(free) / rate
	return &seconds
}
