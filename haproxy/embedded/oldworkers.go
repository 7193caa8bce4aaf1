package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// oldTimeout bounds what is done in old workers: a master that hangs must not keep up what is to be done in the present
// worker.
const oldTimeout = 500 * time.Millisecond

// cutOld ends the sessions of servers that are down in workers that a reload has replaced, which check no server any
// more. Their slots have who was there at the reload, so it goes by the address of who is down now.
func (e *Events) cutOld(ctx context.Context, down []string) error {
	ctx, cancel := context.WithTimeout(ctx, oldTimeout)
	defer cancel()
	var gone map[string]bool // is asked for if there is such a worker
	return process.EachOld(ctx, e.paths.Master(), func(ask process.Ask) (err error) {
		if gone == nil {
			if gone, err = e.endpoints(ctx, down); err != nil {
				return err
			}
		}
		return cutIn(ask, gone)
	})
}

// endpoints are those of servers in the present worker.
func (e *Events) endpoints(ctx context.Context, names []string) (map[string]bool, error) {
	running, err := e.runtime.servers(ctx, haproxy.Backend)
	all := map[string]bool{}
	for _, server := range running {
		if slices.Contains(names, server.Name) {
			all[server.Endpoint()] = true
		}
	}
	return all, err
}

// cutIn ends the sessions of one worker with servers at these endpoints.
func cutIn(ask process.Ask, gone map[string]bool) error {
	states, err := ask("show servers state " + haproxy.Backend)
	if err != nil {
		return err
	}
	servers, err := parseServers(states)
	if err != nil {
		return fmt.Errorf("the servers of an old worker: %w", err)
	}
	var names []string
	for _, server := range servers {
		if gone[server.Endpoint()] {
			names = append(names, server.Name)
		}
	}
	if names == nil {
		return nil
	}
	return ask.End(haproxy.Backend, names...)
}
