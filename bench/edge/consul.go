package edge

import (
	"context"
	"fmt"

	"zatoha/deploy/cluster"
)

// consulServers are those of each cluster, beside the agent that its programs ask.
const consulServers = 3

// restartConsul restarts the servers, one at a time while the others are a quorum: those that follow, and at last the
// leader, which hands over first. Then it restarts the agent. While that is away, connectors stop, and their messages
// wait in the broker.
func restartConsul(ctx context.Context, c *cluster.Cluster) error {
	leader, err := c.Datacenter.AwaitLeader(ctx)
	if err != nil {
		return err
	}
	for _, i := range c.Datacenter.Followers(leader) {
		if err := restartConsulServer(ctx, c.Datacenter, i); err != nil {
			return err
		}
	}
	if err := c.Datacenter.HandOver(ctx, leader); err != nil {
		return err
	}
	if err := restartConsulServer(ctx, c.Datacenter, leader); err != nil {
		return err
	}
	if err := c.Consul.Stop(ctx); err != nil {
		return err
	}
	return c.StartConsul(ctx)
}

// restartConsulServer is done when the server has all that the leader has, and the leader says that all are well.
func restartConsulServer(ctx context.Context, all *cluster.ConsulServers, i int) error {
	if err := all.Stop(ctx, i); err != nil {
		return err
	}
	if err := all.Start(i); err != nil {
		return err
	}
	err := until(ctx, func(ctx context.Context) error {
		if err := all.CaughtUp(ctx, i); err != nil {
			return err
		}
		return all.Healthy(ctx, i)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", all.Servers[i].Name, err)
	}
	return nil
}
