package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
)

const (
	servers = 2 // of each cluster
	hosts   = 2
	outers  = 2
	bound   = 60 * time.Second // whatever takes longer is broken

	attempts = 3 // to start all: somebody else may take a port that was found free
)

// names are those of the clusters, as the outer load balancers know them.
var names = []string{"a", "b"}

// stage is a pair of clusters behind outer load balancers. HAProxy's program is a copy of its own in the stage's folder,
// which an upgrade replaces.
type stage struct {
	options Options
	scenery
	dir      string
	haproxy  string
	clusters []*cluster.Cluster
	outers   []*cluster.Edge
}

// build starts everything, and waits until both clusters get requests.
func (s *stage) build(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	s.haproxy = filepath.Join(s.dir, "haproxy")
	if err := s.replaceHAProxy(); err != nil {
		return err
	}
	if err := s.startClusters(ctx); err != nil {
		return err
	}
	return s.startOuters(ctx)
}

// startClusters starts both at the same time.
func (s *stage) startClusters(ctx context.Context) error {
	type started struct {
		i   int
		c   *cluster.Cluster
		err error
	}
	all := make(chan started, len(names))
	for i, name := range names {
		config, err := cluster.FreeConfig(servers + hosts)
		if err != nil {
			return err
		}
		config.Hosts, config.Servers = config.Servers[servers:], config.Servers[:servers]
		config.Bin, config.ConsulBin, config.HAProxyBin, config.Dir = s.options.Bin, s.options.Consul, s.haproxy, filepath.Join(s.dir, name)
		config.Durable = true
		if s.quorum {
			config.ConsulServers = consulServers
		}
		config.LBArgs = []string{"--trusted-proxies=127.0.0.1"}
		go func() {
			c, err := cluster.Start(ctx, config)
			all <- started{i, c, err}
		}()
	}
	s.clusters = make([]*cluster.Cluster, len(names))
	var errs []error
	for range names {
		one := <-all
		s.clusters[one.i] = one.c
		errs = append(errs, one.err)
	}
	return errors.Join(errs...)
}

func (s *stage) startOuters(ctx context.Context) error {
	ports, err := freeport.Some(outers)
	if err != nil {
		return err
	}
	args := []string{"--clusters", "a=" + s.clusters[0].Front + ",b=" + s.clusters[1].Front, "--return-after=1s"}
	if s.standby {
		args = append(args, "--standby")
	}
	for i, port := range ports {
		outer, err := cluster.StartEdge(ctx, cluster.EdgeConfig{
			Bin: s.options.Bin, HAProxyBin: s.haproxy, Dir: filepath.Join(s.dir, fmt.Sprintf("outer-%d", i+1)),
			Front: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Args: args,
		})
		if err != nil {
			return err
		}
		s.outers = append(s.outers, outer)
	}
	return s.whole(ctx)
}

// whole waits until both clusters are, and every outer load balancer has seen that.
func (s *stage) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, c := range s.clusters {
		if err := c.Whole(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := s.edge(ctx, "ready", name); err != nil {
			return err
		}
	}
	return nil
}

// edge runs edge at all outer load balancers.
func (s *stage) edge(ctx context.Context, args ...string) error {
	var sockets []string
	for _, outer := range s.outers {
		sockets = append(sockets, outer.Socket())
	}
	_, err := s.outers[0].Run(ctx, append(args, "--sockets", strings.Join(sockets, ","))...)
	return err
}

// replaceHAProxy puts another file with HAProxy's program in the place of the one that may run.
func (s *stage) replaceHAProxy() error {
	from, err := os.Open(s.options.HAProxy)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(s.haproxy+".next", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Rename(s.haproxy+".next", s.haproxy)
}

// Close ends as much as there is.
func (s *stage) Close(ctx context.Context) error {
	for _, outer := range s.outers {
		outer.Kill()
	}
	stopped := make(chan error, len(s.clusters))
	for _, c := range s.clusters {
		go func() {
			if c == nil {
				stopped <- nil
				return
			}
			stopped <- c.Stop(ctx)
		}()
	}
	var errs []error
	for range s.clusters {
		errs = append(errs, <-stopped)
	}
	return errors.Join(errs...)
}
