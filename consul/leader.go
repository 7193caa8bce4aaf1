package consul

import (
	"context"
	"sync"
	"time"
)

// leaderInterval is the time between two questions for the leader.
const leaderInterval = time.Second

// overseer tells, beside what a watch observes, that Consul cannot be reached or has no leader. The watch may not find
// that out for more than a minute: the agent answers it from what it was told last, and one that is frozen not at all.
// When it is over, the last snapshot is observed again. It is safe for concurrent use.
type overseer struct {
	mu      sync.Mutex
	observe func(Observation)
	last    Observation // of the watch; zero before the first
	watched bool        // there was one
	fault   error       // that was observed since; nil if Consul is well
}

// saw hands on what the watch observed. A snapshot says that Consul is well again, until the next question.
func (o *overseer) saw(seen Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last, o.watched, o.fault = seen, true, nil
	o.observe(seen)
}

// asked takes the answer to a question for the leader.
func (o *overseer) asked(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.watched || o.last.Err != nil {
		return // the watch tells by itself
	}
	was := o.fault
	switch o.fault = err; {
	case err != nil:
		o.observe(Observation{Err: err})
	case was != nil:
		o.observe(o.last)
	}
}

// run asks for the leader until ctx ends.
func (o *overseer) run(ctx context.Context, ping func(context.Context) error) {
	for sleep(ctx, leaderInterval) {
		if err := ping(ctx); ctx.Err() == nil {
			o.asked(err)
		}
	}
}
