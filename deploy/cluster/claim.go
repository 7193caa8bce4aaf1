package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zatoha/deploy/program"
)

// Claim takes the folder for this process, until it is let go. It refuses, and touches nothing, while another process has
// it, or a load balancer that somebody has started by hand runs in it.
func (c *Cluster) Claim() (letGo func(), err error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	if letGo, err = program.Lock(filepath.Join(c.Dir, "cluster.lock"), os.O_CREATE); err != nil {
		return nil, fmt.Errorf("another cluster runs in %s: %w", c.Dir, err)
	}
	free, err := program.Lock(filepath.Join(c.lbDir(), "lb.lock"), 0)
	switch {
	case err == nil:
		free()
	case !errors.Is(err, fs.ErrNotExist):
		letGo()
		return nil, fmt.Errorf("a load balancer runs in %s: %w", c.lbDir(), err)
	}
	return letGo, nil
}

// StopHAProxy ends the HAProxy that a load balancer of this cluster has left running, if there is one.
func (c *Cluster) StopHAProxy(ctx context.Context) error {
	if _, err := os.Stat(c.lbDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	j, err := hireJanitor(filepath.Join(c.Bin, "lb"), c.lbDir())
	if err != nil {
		return err
	}
	return j.finish(ctx)
}

// Clean removes what an earlier cluster has left in the folder: its HAProxy, if that still runs, its state and logs. It
// is for who has claimed the folder.
func (c *Cluster) Clean(ctx context.Context) error {
	if err := c.StopHAProxy(ctx); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(c.lbDir()), os.RemoveAll(c.LogDir()), os.RemoveAll(c.tokenFile()))
}
