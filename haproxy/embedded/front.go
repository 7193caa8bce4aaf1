package embedded

import (
	"context"
	"errors"
	"fmt"

	"zatoha/haproxy"
)

// Open has the front take connections again, if somebody has stopped that. One that was paused is enabled; one that was
// shut down has given up its sockets, and comes back by a reload alone.
func (d *DataPlane) Open(ctx context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	front, err := d.runtime.front(ctx)
	if err != nil || !front.Closed() {
		return haproxy.Rewrite{}, err
	}
	var done haproxy.Rewrite
	if front.Status == haproxy.Paused {
		err = d.runtime.enable(ctx)
	} else {
		done, err = d.Rebuild(ctx, servers, haproxy.ReloadToUndo)
	}
	done.Opened = err == nil
	return done, err
}

// front are the counters of our frontend.
func (s socket) front(ctx context.Context) (haproxy.Counters, error) {
	const frontends = " 1 -1"
	stats, err := s.counted(ctx, "show stat "+haproxy.Frontend+frontends, haproxy.Frontend, haproxy.Backend)
	return stats.Frontend, err
}

// enable has our frontend take connections again.
func (s socket) enable(ctx context.Context) error {
	answer, err := within(ctx, func() (string, error) { return s.api().ExecuteRaw("enable frontend " + haproxy.Frontend) })
	if err := errors.Join(err, refusals(answer)); err != nil {
		return fmt.Errorf("enabling %s: %w", haproxy.Frontend, err)
	}
	return nil
}
