package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
)

// startDatacenter starts what does not run of the cluster's Consul servers and of the agent that the programs ask, at the
// addresses and with the state that they had, and waits for a leader.
func (c *Cluster) startDatacenter(ctx context.Context) (err error) {
	if c.Datacenter == nil {
		config := ConsulServersConfig{Binary: c.ConsulBin, Dir: filepath.Join(c.Dir, "consul"), Count: c.ConsulServers, AsUnits: c.AsUnits}
		if c.Datacenter, err = StartConsulServers(ctx, config); err != nil {
			return err
		}
	}
	for i, server := range c.Datacenter.Servers {
		if server.Running() {
			continue
		}
		if err := c.Datacenter.Start(i); err != nil {
			return err
		}
	}
	if _, err := c.Datacenter.AwaitLeader(ctx); err != nil {
		return err
	}
	if c.agent == nil {
		agents, err := agentsAtFreePorts(c.Datacenter.config.Dir, "local")
		if err != nil {
			return err
		}
		c.agent, agents[0].HTTP = agents[0], c.ConsulAddr
	}
	if !c.agent.Running() {
		err = c.Datacenter.join(ctx, c.agent)
	}
	c.Consul = c.agent.process
	return err
}

// datacenter are the processes of the datacenter's servers.
func (c *Cluster) datacenter() (all []*Process) {
	if c.Datacenter == nil {
		return nil
	}
	for _, server := range c.Datacenter.Servers {
		all = append(all, server.process)
	}
	return all
}

// Healthy says whether one of the servers may be stopped: all are well by the leader's word, which this one passes on.
// The leader looks every two seconds; of a server that was restarted since, [ConsulServers.CaughtUp] has to say the same.
func (c *ConsulServers) Healthy(ctx context.Context, i int) error {
	var health struct {
		Healthy          bool
		FailureTolerance int
	}
	if err := getJSON(ctx, "http://"+c.Servers[i].HTTP+"/v1/operator/autopilot/health", &health); err != nil {
		return err
	}
	if !health.Healthy || health.FailureTolerance != (len(c.Servers)-1)/2 {
		return fmt.Errorf("the Consul servers say of themselves: %+v", health)
	}
	return nil
}

// CaughtUp says whether a server that was restarted has all that the leader has. One that has not would not be elected.
func (c *ConsulServers) CaughtUp(ctx context.Context, i int) error {
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	want, err := c.raft(ctx, leader, "last_log_index")
	if err != nil {
		return err
	}
	has, err := c.raft(ctx, i, "applied_index")
	if err == nil && has < want {
		err = fmt.Errorf("%s has applied %d of %d entries", c.Servers[i].Name, has, want)
	}
	return err
}

// raft is a number in what a server says of its log, as `consul info` shows it.
func (c *ConsulServers) raft(ctx context.Context, i int, name string) (int, error) {
	var self struct {
		Stats struct {
			Raft map[string]string `json:"raft"`
		}
	}
	if err := getJSON(ctx, "http://"+c.Servers[i].HTTP+"/v1/agent/self", &self); err != nil {
		return 0, err
	}
	return strconv.Atoi(self.Stats.Raft[name])
}

// HandOver makes another server the leader, without an election for want of one, and returns when all is well by the new
// leader's word, and by that of the old one, which passes it on: a server that is stopped while it ceases to lead may
// hang.
func (c *ConsulServers) HandOver(ctx context.Context, leader int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Servers[leader].HTTP+"/v1/operator/raft/transfer-leader", nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("consul's leader does not hand over: %s: %w", said, errors.Join(err, errors.New(response.Status)))
	}
	return c.Servers[leader].process.Await(ctx, func(ctx context.Context) error {
		next, err := c.Leader(ctx)
		if err == nil && next == leader {
			err = fmt.Errorf("%s is still the leader", c.Servers[leader].Name)
		}
		if err != nil {
			return err
		}
		return c.Healthy(ctx, leader)
	})
}

// Followers are the servers but for one.
func (c *ConsulServers) Followers(leader int) (all []int) {
	for i := range c.Servers {
		all = append(all, i)
	}
	return slices.Delete(all, leader, leader+1)
}
