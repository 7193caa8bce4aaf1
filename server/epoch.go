package server

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/server/invoke"
)

// epoch is what a server knows of who among the connector hosts may act.
type epoch struct {
	fence invoke.Fence
	known chan struct{} // closed once the hosts' key has been read, or could not be for so long that the server goes on without
	first sync.Once
}

func newEpoch() *epoch { return &epoch{known: make(chan struct{})} }

// follow learns it from the key that the connector hosts compete for, until ctx ends.
func (e *epoch) follow(ctx context.Context, agent agent, cluster string, log zerolog.Logger) {
	key := consul.LeaseKey(cluster)
	late := time.AfterFunc(informedTimeout, func() {
		e.first.Do(func() {
			log.Warn().Str("key", key).Msg("Consul has not said yet which connector host may act; until it does, the latest that calls may")
			close(e.known)
		})
	})
	defer late.Stop()
	agent.WatchKey(ctx, key, func(o consul.KeyObservation) {
		if o.Err != nil {
			return
		}
		if epoch, ok := invoke.EpochOf(o.Pair.Value); ok {
			e.fence.Learn(epoch)
		}
		e.first.Do(func() { close(e.known) })
	})
}
