package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// HAProxy are the processes of the load balancer's HAProxy, the master first, as its status page names them.
func (c *Cluster) HAProxy(ctx context.Context) ([]int, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	pids := []int{status.HAProxy.Master, status.HAProxy.Worker}
	for _, pid := range pids {
		if pid <= 1 {
			return nil, fmt.Errorf("the status page names no process of haproxy's: %+v", status.HAProxy)
		}
	}
	return pids, nil
}

// SignalAll sends a signal to every process: SIGKILL ends the whole cluster as a power cut would, SIGSTOP hangs it. The
// load balancer comes first, HAProxy behind it, whose processes [Cluster.HAProxy] has told before: a cluster that hangs
// tells nothing.
func (c *Cluster) SignalAll(haproxy []int, signal syscall.Signal) error {
	c.LB.Signal(signal)
	var errs []error
	for _, pid := range haproxy {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("haproxy, %d: %w", pid, err))
		}
	}
	for _, p := range c.Processes() {
		if p != c.LB {
			p.Signal(signal)
		}
	}
	return errors.Join(errs...)
}

// Revive starts what has ended, and waits until the cluster is whole. Consul knows what it knew only if it is durable.
func (c *Cluster) Revive(ctx context.Context) error {
	if c.Consul.HasEnded() {
		if err := c.StartConsul(ctx); err != nil {
			return err
		}
	}
	for i, p := range c.Servers {
		if p.HasEnded() {
			if err := c.StartServer(i); err != nil {
				return err
			}
		}
	}
	if c.LB.HasEnded() {
		if err := c.StartLB(); err != nil {
			return err
		}
	}
	for i, p := range c.Hosts {
		if p.HasEnded() {
			if err := c.StartHost(i); err != nil {
				return err
			}
		}
	}
	return c.Whole(ctx)
}

// Whole waits until every server takes traffic, and a connector host is active if there are any.
func (c *Cluster) Whole(ctx context.Context) error {
	if err := c.awaitActive(ctx); err != nil {
		return err
	}
	return c.Await(ctx, func(s Status) bool {
		return s.HAProxy.Running && len(s.Rotation) == len(c.Config.Servers)
	})
}

// Versions are the versions that the services of this name tell in Consul, by their ids.
func (c *Cluster) Versions(ctx context.Context, service string) (map[string]string, error) {
	var instances []struct {
		ServiceID   string
		ServiceMeta map[string]string
	}
	if err := getJSON(ctx, "http://"+c.ConsulAddr+"/v1/catalog/service/"+service, &instances); err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, instance := range instances {
		versions[instance.ServiceID] = instance.ServiceMeta["version"]
	}
	return versions, nil
}
