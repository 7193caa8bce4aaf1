package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// theatre has one stage at a time and keeps it from trial to trial as long as nothing goes wrong on it.
type theatre struct {
	options  Options
	progress *progress
	now      *stage
}

// stage is a running cluster, whose load balancer reaches Consul through obstacles.
type stage struct {
	*cluster.Cluster
	set       set
	dir       string
	obstacles *obstacles
	upstreams *upstreams // nil unless recording
}

// stage returns a cluster of the kind, whole.
func (t *theatre) stage(ctx context.Context, kind set) (*stage, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*bound)
	defer cancel()
	if t.now != nil && t.now.set != kind {
		if err := t.strike(ctx); err != nil {
			return nil, err
		}
	}
	for attempt := 1; t.now == nil; attempt++ {
		s, err := t.build(ctx, kind)
		switch {
		case err == nil:
			t.now = s
		case attempt == attempts || ctx.Err() != nil:
			return nil, err
		default:
			t.progress.note("the cluster is started anew: " + err.Error())
		}
	}
	return t.now, await(ctx, ours{t.now.Cluster}, isWhole)
}

// strike takes the stage down, and keeps nothing of it.
func (t *theatre) strike(ctx context.Context) error {
	if t.now == nil {
		return nil
	}
	dir := t.now.dir
	return errors.Join(t.abandon(ctx), os.RemoveAll(dir))
}

// abandon takes the stage down and keeps its logs.
func (t *theatre) abandon(ctx context.Context) error {
	s := t.now
	t.now = nil
	return s.stop(ctx)
}

// close strikes the stage, also when ctx has ended.
func (t *theatre) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	return t.strike(ctx)
}

func (t *theatre) build(ctx context.Context, kind set) (_ *stage, err error) {
	s := &stage{set: kind}
	defer func() {
		if err != nil {
			err = errors.New(err.Error()) // now, as it quotes from the logs
			err = errors.Join(err, s.stop(ctx), os.RemoveAll(s.dir))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "zatoha-faults"); err != nil {
		return nil, err
	}
	config, err := cluster.FreeConfig(servers)
	if err != nil {
		return nil, err
	}
	config.Bin, config.ConsulBin, config.HAProxyBin, config.Dir = t.options.Bin, t.options.Consul, t.options.HAProxy, s.dir
	places := config.Servers
	if s.obstacles, err = newObstacles(config.ConsulAddr); err != nil {
		return nil, err
	}
	config.LBArgs = append([]string{"--consul-http-addr=" + s.obstacles.address()}, t.options.LBArgs...)
	if kind == tight {
		config.LBArgs = append(config.LBArgs, "--slots=3", "--headroom=0")
	}
	if kind == recording {
		config.Servers = nil
	}
	if s.Cluster, err = cluster.Start(ctx, config); err != nil {
		return nil, err
	}
	if kind == recording {
		s.upstreams, err = newUpstreams(ctx, s.Cluster, t.options.Upstream, places)
	}
	return s, err
}

func (s *stage) stop(ctx context.Context) error {
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
