package takeover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"zatoha/bench/history"
	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
)

// allRun says whether so many connectors run, and no other.
func allRun(r cluster.HostStatus, n int) error {
	if len(r.Connectors) != n {
		return fmt.Errorf("there are %d connectors", len(r.Connectors))
	}
	for _, c := range r.Connectors {
		if c.State != "running" {
			return fmt.Errorf("connector %s is %s", c.Name, c.State)
		}
	}
	return nil
}

func (h *connectorHost) said(ctx context.Context) (r cluster.HostStatus, err error) {
	return r, call(ctx, http.MethodGet, "http://"+h.address+"/connectors", nil, &r)
}

// active is the host that is, by the hosts' own word.
func (s *scene) active(ctx context.Context) (*connectorHost, cluster.HostStatus, error) {
	for _, h := range s.hosts {
		if r, err := h.said(ctx); err == nil && r.Role == cluster.Active {
			return h, r, nil
		}
	}
	return nil, cluster.HostStatus{}, errors.New("no connector host is active")
}

// whole waits until one host is active, the others stand by, each connector runs, and messages of each have come since.
func (s *scene) whole(ctx context.Context) error {
	since := time.Now()
	return s.until(ctx, func(ctx context.Context) error {
		_, r, err := s.active(ctx)
		if err != nil {
			return err
		}
		if err := allRun(r, len(s.names)); err != nil {
			return err
		}
		for _, h := range s.hosts {
			other, err := h.said(ctx)
			if err != nil {
				return err
			}
			if !other.Held || other.Holder.Epoch != r.Holder.Epoch || len(other.Hosts) != hosts {
				return fmt.Errorf("%s does not know of the others yet", h.id)
			}
		}
		return s.heard(since, r.Holder.Epoch)
	})
}

// heard says whether each connector's messages have come since, under an epoch.
func (s *scene) heard(since time.Time, epoch uint64) error {
	if s.rate == 0 {
		return nil
	}
	if err := s.read(); err != nil {
		return err
	}
	came := map[string]bool{}
	for i := len(s.effects) - 1; i >= 0 && s.effects[i].At.After(since.Add(-unsorted)); i-- {
		if e := s.effects[i]; e.Epoch >= epoch && !e.At.Before(since) {
			came[e.Connector] = true
		}
	}
	for _, name := range s.names {
		if !came[name] {
			return fmt.Errorf("no message of %s has come", name)
		}
	}
	return nil
}

// unsorted is by how much a note may be read later than one that was made after it.
const unsorted = 5 * time.Second

// read reads what the servers have noted since it was read last.
func (s *scene) read() error {
	for _, t := range s.notes {
		if err := t.Lines(func(line string) error {
			e, err := history.ReadNote(line)
			s.effects = append(s.effects, e)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

const (
	pollInterval = 25 * time.Millisecond
	patience     = 20 * time.Millisecond // for a connector to take a message
)

// glances is how often a condition is looked at. Whoever answers takes the processor from those who are to get on.
func (s *scene) glances() time.Duration { return pollInterval * time.Duration(1+s.connectors/10) }

// until asks for a condition until it holds. Its error says what is missing.
func (s *scene) until(ctx context.Context, condition func(context.Context) error) error {
	return pause.Within(ctx, bound, s.glances(), condition)
}
