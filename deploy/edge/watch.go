package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"zatoha/haproxy"
)

type watchCommand struct{}

// Run watches all outer load balancers that are named, mostly the one of this machine, until ctx ends.
func (watchCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	watches, ctx := errgroup.WithContext(ctx)
	for _, socket := range g.Sockets {
		watches.Go(func() error {
			watch(ctx, log.With().Str("haproxy", socket).Logger(), balancer{socket})
			return nil
		})
	}
	return watches.Wait()
}

// watch ends the sessions of what is down at two looks in a row: whatever was connecting to it has been refused by then,
// and is being tried elsewhere, so that only what hangs is left.
func watch(ctx context.Context, log zerolog.Logger, b balancer) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	down := map[string]bool{}
	answered := true
	for {
		endpoints, err := b.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if (err == nil) != answered {
			answered = err == nil
			log.Warn().Err(err).Bool("answers", answered).Msg("haproxy's runtime socket")
		}
		if err == nil {
			if err := cut(context.WithoutCancel(ctx), log, b, lost(endpoints, down)); err != nil { // to its end
				log.Error().Err(err).Msg("ending the sessions of a cluster that is down")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lost are the endpoints that were down before, still are, and have sessions. It notes those that are down now.
func lost(endpoints []endpoint, down map[string]bool) (all []endpoint) {
	for _, e := range endpoints {
		isDown := !e.well() && !e.maintained // who is being maintained may finish what it has
		if isDown && down[e.server] && e.sessions > 0 {
			all = append(all, e)
		}
		down[e.server] = isDown
	}
	return all
}

func cut(ctx context.Context, log zerolog.Logger, b balancer, endpoints []endpoint) error {
	for _, e := range endpoints {
		if err := b.tell(ctx, fmt.Sprintf("shutdown sessions server %s/%s", haproxy.EdgeBackend, e.server)); err != nil {
			return err
		}
		log.Warn().Str("cluster", e.cluster).Str("server", e.server).Int("sessions", e.sessions).Str("check", e.check).
			Msg("the cluster is down: its sessions are ended, to be tried elsewhere")
	}
	return nil
}
