package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"zatoha/deploy/cluster"
)

// upgrade brings every program to the next version, one cluster after the other, as deploy/README.md tells operators to.
func upgrade(ctx context.Context, p *play) (err error) {
	mail, err := p.send(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mail.stop(ctx)) }()
	bin, next := p.options.NextBin, p.options.Next
	if p.clusters[0].Bin == bin { // and back, in every second trial
		bin, next = p.options.Bin, ""
	}
	if err := p.replaceHAProxy(); err != nil {
		return err
	}
	for i, name := range names {
		c := p.clusters[i]
		err := p.timed("a cluster upgraded", func() error {
			if err := p.edge(ctx, "drain", name); err != nil {
				return err
			}
			c.Bin = bin
			if err := p.upgradeCluster(ctx, c); err != nil {
				return err
			}
			if err := p.tells(ctx, c, next); err != nil {
				return err
			}
			return p.edge(ctx, "ready", name)
		})
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
	}
	for _, outer := range p.outers {
		outer.Bin = bin
		if err := p.timed("an outer load balancer upgraded", func() error { return p.upgradeOuter(ctx, outer) }); err != nil {
			return err
		}
	}
	return p.weigh(ctx, mail)
}

// upgradeCluster restarts everything in a cluster that gets no requests from outside, while its connectors go on.
func (p *play) upgradeCluster(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 2*bound)
	defer cancel()
	for _, step := range []struct {
		of string
		do func(context.Context, *cluster.Cluster) error
	}{
		{"Consul", restartConsul}, {"connector hosts", restartHosts}, {"servers", restartServers}, {"the controller", restartController}, {"HAProxy", reloadHAProxy},
	} {
		if err := step.do(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", step.of, err)
		}
		if err := c.Whole(ctx); err != nil {
			return fmt.Errorf("after %s: %w", step.of, err)
		}
	}
	return nil
}

// restartHosts restarts those that stand by first, and then the active one, which hands over.
func restartHosts(ctx context.Context, c *cluster.Cluster) error {
	var active int
	if err := until(ctx, func(ctx context.Context) (err error) { // while Consul was restarted the lease may have run out
		active, _, err = c.ActiveHost(ctx)
		return err
	}); err != nil {
		return err
	}
	order := []int{active}
	for i := range c.Hosts {
		if i != active {
			order = append([]int{i}, order...)
		}
	}
	for _, i := range order {
		if err := c.Hosts[i].StopClean(ctx); err != nil {
			return err
		}
		if err := c.StartHost(i); err != nil {
			return err
		}
		if err := until(ctx, func(ctx context.Context) error { _, err := c.HostStatus(ctx, i); return err }); err != nil {
			return err
		}
	}
	return nil
}

func restartServers(ctx context.Context, c *cluster.Cluster) error {
	for i, server := range c.Servers {
		if err := server.StopClean(ctx); err != nil {
			return err
		}
		if err := c.StartServer(i); err != nil {
			return err
		}
		if err := c.Whole(ctx); err != nil {
			return err
		}
	}
	return nil
}

// restartController leaves HAProxy running, which the next one adopts.
func restartController(ctx context.Context, c *cluster.Cluster) error {
	if err := c.LB.StopClean(ctx); err != nil {
		return err
	}
	return c.StartLB()
}

// reloadHAProxy makes the master run HAProxy's program anew, which takes the listeners over.
func reloadHAProxy(ctx context.Context, c *cluster.Cluster) error {
	pids, err := c.HAProxy(ctx)
	if err != nil {
		return err
	}
	before, err := reload(ctx, pids[0], c.HAProxyBin, c.Runtime)
	if err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error { // the old one ends when the outer load balancers close what they keep open to it
		status, err := c.Status(ctx)
		if err == nil && (status.HAProxy.Worker == before || status.HAProxy.Master != pids[0]) {
			err = fmt.Errorf("the status page has worker %d of master %d", status.HAProxy.Worker, status.HAProxy.Master)
		}
		return err
	})
}

// reload checks what HAProxy itself does not tell: that the master and a new worker run the new program. It returns the
// pid of the worker of before.
func reload(ctx context.Context, master int, program string, ask func(context.Context, string) (string, error)) (before int, err error) {
	if before, err = worker(ctx, ask); err != nil {
		return before, err
	}
	if err := syscall.Kill(master, syscall.SIGUSR2); err != nil {
		return before, err
	}
	return before, until(ctx, func(ctx context.Context) error {
		now, err := worker(ctx, ask)
		if err != nil {
			return err
		}
		if now == before {
			return errors.New("the worker is still that of before")
		}
		for _, pid := range []int{master, now} {
			if err := runs(pid, program); err != nil {
				return err
			}
		}
		return nil
	})
}

// worker is the pid of the worker that answers.
func worker(ctx context.Context, ask func(context.Context, string) (string, error)) (int, error) {
	info, err := ask(ctx, "show info")
	if err != nil {
		return 0, err
	}
	return cluster.ReadWorker(info)
}

// runs says whether a process runs the program that is in this place now.
func runs(pid int, program string) error {
	runs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return err
	}
	is, err := os.Stat(program)
	if err == nil && !os.SameFile(runs, is) {
		err = fmt.Errorf("%d still runs the program of before", pid)
	}
	return err
}

// ended says whether a process has.
func ended(pid int) error {
	switch err := syscall.Kill(pid, 0); {
	case err == nil:
		return fmt.Errorf("%d has not finished what it had", pid)
	case !errors.Is(err, syscall.ESRCH):
		return err
	}
	return nil
}

// upgradeOuter has the new edge make the configuration and watch, and then HAProxy take up both.
func (p *play) upgradeOuter(ctx context.Context, outer *cluster.Edge) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := outer.Configure(ctx); err != nil {
		return err
	}
	if err := outer.Watch.StopClean(ctx); err != nil {
		return err
	}
	if err := outer.StartWatch(); err != nil {
		return err
	}
	ask := func(ctx context.Context, command string) (string, error) {
		return cluster.AskHAProxy(ctx, outer.Socket(), command)
	}
	before, err := reload(ctx, outer.HAProxy.PID(), p.haproxy, ask)
	if err != nil {
		return err
	}
	if err := until(ctx, func(context.Context) error { return ended(before) }); err != nil {
		return err
	}
	said, err := outer.Run(ctx, "--version")
	if err == nil && outer.Bin == p.options.NextBin && !strings.Contains(said, p.options.Next) {
		p.Fail("edge says it is %s, not %s", strings.TrimSpace(said), p.options.Next)
	}
	return err
}

// tells waits until every program of a cluster is of the next version, by its own word in Consul.
func (p *play) tells(ctx context.Context, c *cluster.Cluster, next string) error {
	return until(ctx, func(ctx context.Context) error {
		for service, n := range map[string]int{"zato-server": servers, "zato-lb": 1, "zato-connectorhost": hosts} {
			versions, err := c.Versions(ctx, service)
			if err != nil || len(versions) != n {
				return fmt.Errorf("%s: %d of %d are in Consul, %v", service, len(versions), n, err)
			}
			for id, version := range versions {
				if !strings.HasPrefix(version, next) || next == "" && strings.HasPrefix(version, p.options.Next) {
					return fmt.Errorf("%s tells version %s", id, version)
				}
			}
		}
		return nil
	})
}

// logs are those of the servers of both clusters.
func (s *stage) logs() (paths []string, err error) {
	for _, c := range s.clusters {
		found, err := filepath.Glob(filepath.Join(c.LogDir(), "server-*.log"))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// patience is how long a message may be on its way when all is well.
const patience = 30 * time.Second
