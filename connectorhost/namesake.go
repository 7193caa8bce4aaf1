package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"zatoha/consul"
	"zatoha/deploy/program"
)

// namesakeTime is how long Consul may take to notice that a process is gone, beside the TTL of its lease's check.
const namesakeTime = time.Second

// alone returns an error if another connector host lives under the ID of this one: the two would take each other's place
// in Consul for ever. What an earlier process of this host has left seems alive for the TTL of its lease, which is waited
// for. Where Consul cannot tell, nothing is said.
func (h *host) alone(ctx context.Context, agent agent) error {
	ctx, cancel := context.WithTimeout(ctx, 2*h.LeaseTTL+namesakeTime)
	defer cancel()
	other := ""
	known := false
	agent.Watch(ctx, h.Service, func(o consul.Observation) {
		known = o.Err == nil
		i := slices.IndexFunc(o.Snapshot.Instances, func(i consul.Instance) bool { return i.ID == h.ID && alive(i) })
		if !known || i < 0 {
			known = false
			cancel()
			return
		}
		other = o.Snapshot.Instances[i].HostPort()
	})
	if !known || ctx.Err() != context.DeadlineExceeded {
		return nil
	}
	return program.BadConfig("--id", fmt.Sprintf("%q is the ID of another connector host, which lives at %s", h.ID, other),
		"give each host an ID of its own, or leave the flag out")
}
