package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"zatoha/bench/history"
)

// witness writes the history of who ran what when, from what the hosts say in their logs of their children, and from
// watching those die: a host that was killed or stopped says nothing of that.
//
// A child acts from when it was told to go until it has finished, or has ended. A host's log has the time to the
// millisecond, which is how exact the history is.
type witness struct {
	tails []*history.Tail
	hosts []string
	done  chan struct{}

	mu       sync.Mutex
	children map[childKey]*child
	err      error
}

// childKey names a child: hosts number them from 1 in each tenure.
type childKey struct {
	host string
	pid  int
}

// child is one process of a connector.
type child struct {
	connector string
	number    int
	epoch     uint64
	went      time.Time // when it was told to receive
	died      time.Time
}

const tailInterval = 5 * time.Millisecond

// watch follows the logs of the hosts until ctx ends.
func watch(ctx context.Context, logs map[string]string) *witness {
	w := &witness{children: map[childKey]*child{}, done: make(chan struct{})}
	for host, log := range logs {
		w.hosts = append(w.hosts, host)
		w.tails = append(w.tails, &history.Tail{Path: log})
	}
	go func() {
		defer close(w.done)
		var dying sync.WaitGroup
		defer dying.Wait()
		tick := time.NewTicker(tailInterval)
		defer tick.Stop()
		for {
			for i, host := range w.hosts {
				w.follow(ctx, &dying, host, w.tails[i])
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

func (w *witness) follow(ctx context.Context, dying *sync.WaitGroup, host string, t *history.Tail) {
	err := t.Lines(func(line string) error {
		var said history.LogLine
		if json.Unmarshal([]byte(line), &said) != nil {
			return nil // a panic, say; it shows elsewhere
		}
		w.hear(host, said, func(pid int) {
			dying.Go(func() { w.await(ctx, childKey{host, pid}) })
		})
		return nil
	})
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}
}

// hear takes note of a line. A process that began is to be awaited.
func (w *witness) hear(host string, s history.LogLine, await func(pid int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case s.Started():
		w.children[childKey{host, s.PID}] = &child{connector: s.Connector, number: s.Child, epoch: s.Epoch}
		await(s.PID)
	case s.Went():
		if c := w.newest(host, s.Connector, s.Child); c != nil && c.went.IsZero() {
			c.went = s.Time
		}
	case s.Ended():
		if c := w.children[childKey{host, s.PID}]; c != nil {
			c.end(s.Time)
		}
	}
}

// newest is the child of that number of the host's latest tenure.
func (w *witness) newest(host, connector string, number int) (found *child) {
	for key, c := range w.children {
		if key.host == host && c.connector == connector && c.number == number && (found == nil || c.epoch > found.epoch) {
			found = c
		}
	}
	return found
}

// end notes the earlier of the times at which a process was seen to have ended: it was over at both.
func (c *child) end(at time.Time) {
	if c.died.IsZero() || at.Before(c.died) {
		c.died = at
	}
}

// await notes when a process has ended.
func (w *witness) await(ctx context.Context, key childKey) {
	if err := gone(ctx, key.pid); err != nil {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.children[key].end(now)
}

// runs are the history so far, in order. A child that had ended when it was told to go has not acted.
func (w *witness) runs() ([]history.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []history.Run
	for key, c := range w.children {
		if !c.went.IsZero() && (c.died.IsZero() || !c.died.Before(c.went)) {
			all = append(all, history.Run{Host: key.host, Connector: c.connector, Epoch: c.epoch, PID: key.pid, Start: c.went, Stop: c.died})
		}
	}
	slices.SortFunc(all, func(a, b history.Run) int { return a.Start.Compare(b.Start) })
	return all, w.err
}

// acting are the processes that act for connectors now, by connector.
func (w *witness) acting() map[string]history.Run {
	runs, _ := w.runs()
	now := map[string]history.Run{}
	for _, r := range runs {
		if r.Stop.IsZero() {
			now[r.Connector] = r
		}
	}
	return now
}

func (w *witness) close() error {
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return fmt.Errorf("the hosts' logs: %w", w.err)
	}
	return nil
}
