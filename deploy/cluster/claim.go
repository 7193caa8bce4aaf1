package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Claim takes the folder for this process, until it is let go. It refuses, and touches nothing, while another process has
// it, or a load balancer that somebody has started by hand runs in it.
func (c *Cluster) Claim() (letGo func(), err error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	if letGo, err = lock(filepath.Join(c.Dir, "cluster.lock"), os.O_CREATE); err != nil {
		return nil, fmt.Errorf("another cluster runs in %s: %w", c.Dir, err)
	}
	free, err := lock(filepath.Join(c.lbDir(), "lb.lock"), 0)
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

// lock takes a file for as long as this process lives, or until it is let go.
func lock(path string, flags int) (letGo func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|flags, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s is locked: %w", path, err)
	}
	return func() { file.Close() }, nil
}
