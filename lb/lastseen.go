package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
)

// lastSeen remembers, beyond the end of this controller, when something was last so. It is the time of an empty file.
type lastSeen struct{ path string }

// newLastSeen is of Consul's answering.
func newLastSeen(stateDir string) lastSeen { return lastSeen{filepath.Join(stateDir, "consul-seen")} }

// newLastWhole is of its being followed whole, see [reconcile.Report]: so old are the servers with which the next
// controller starts if Consul is away, or is not believed.
func newLastWhole(stateDir string) lastSeen {
	return lastSeen{filepath.Join(stateDir, "consul-followed")}
}

// seenInterval is how often it is noted, so also how wrong it may be.
const seenInterval = 10 * time.Second

// at is that time, zero if it is not known.
func (l lastSeen) at() time.Time {
	info, err := os.Stat(l.path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// keep notes when it was last so, until ctx ends; the zero time is not noted. That it cannot, on a disk that has become
// read-only, say, is logged once until it can again: the servers follow Consul without it.
func (l lastSeen) keep(ctx context.Context, log zerolog.Logger, last func() time.Time) {
	ticker := time.NewTicker(seenInterval)
	defer ticker.Stop()
	failed := false
	for {
		if at := last(); !at.IsZero() {
			err := l.note(at)
			if err != nil && !failed {
				log.Warn().Err(err).Msg("the next controller will take the servers for older than they are; does the disk take writes?")
			}
			failed = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (l lastSeen) note(at time.Time) error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY, 0o640)
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Chtimes(l.path, at, at)
	}
	if err != nil {
		return fmt.Errorf("noting when consul was answering and followed last: %w", err)
	}
	return nil
}
