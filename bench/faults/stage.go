package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"zatoha/bench/peer"
	"zatoha/deploy/cluster"
)

// set is the kind of cluster that a scenario is played on.
type set int

const (
	ordinary  set = iota // three servers, and room for more
	tight                // three servers, and not a slot more, so that each newcomer takes a reload
	recording            // three upstreams that record what they execute, in place of servers
)

const (
	bound   = 30 * time.Second // whatever takes longer is broken
	servers = 3

	attempts = 3 // to start a cluster: somebody else may take a port that was found free
)

// stage is a running cluster, whose load balancer reaches Consul through obstacles.
type stage struct {
	*cluster.Cluster
	dir       string
	obstacles *obstacles
	upstreams *upstreams // nil unless recording
}

// build starts a cluster of the kind.
func (o Options) build(ctx context.Context, kind set, dir string) (*stage, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*bound)
	defer cancel()
	s := &stage{dir: dir}
	config, err := cluster.FreeConfig(servers)
	if err != nil {
		return s, err
	}
	config.Bin, config.ConsulBin, config.HAProxyBin, config.Dir = o.Bin, o.Consul, o.HAProxy, dir
	places := config.Servers
	if s.obstacles, err = newObstacles(config.ConsulAddr); err != nil {
		return s, err
	}
	config.LBArgs = append([]string{"--consul-http-addr=" + s.obstacles.address()}, o.LBArgs...)
	if kind == tight {
		config.LBArgs = append(config.LBArgs, "--slots=3", "--headroom=0")
	}
	if kind == recording {
		config.Servers = nil
	}
	config.Environ = tagged
	if s.Cluster, err = cluster.Start(ctx, config); err != nil {
		return s, err
	}
	if kind == recording {
		if s.upstreams, err = newUpstreams(ctx, s.Cluster, o.Upstream, places); err != nil {
			return s, err
		}
	}
	return s, await(ctx, peer.Ours{Cluster: s.Cluster}, isWhole)
}

// tagged has servers found by fabio.
func tagged(program string) []string {
	if program != "server" {
		return nil
	}
	return []string{"ZATOHA_SERVER_TAGS=" + peer.FabioTag}
}

// Close ends as much as there is.
func (s *stage) Close(ctx context.Context) error {
	var errs []error
	if s.upstreams != nil {
		s.upstreams.stop()
	}
	if s.Cluster != nil {
		errs = append(errs, s.Cluster.Stop(ctx))
	}
	if s.obstacles != nil {
		errs = append(errs, s.obstacles.close())
	}
	return errors.Join(errs...)
}

// record is the file in which the upstream with this number records.
func record(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("upstream-%d.ids", i+1)) }
