package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"zatoha/deploy/tools/find"
)

// lockPoll is how often a run that waits for another looks whether that has ended.
const lockPoll = 200 * time.Millisecond

// buildConsul builds Consul from the module deploy/tools/consul into the cache. Of two that are started at once, one
// builds and the other waits for it.
func (m *machine) buildConsul(ctx context.Context) error {
	path, err := find.CachedConsul()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a folder for consul: %w: set ZATOHA_CACHE to a folder that can be written", err)
	}
	unlock, err := m.lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := find.FindConsul(); err == nil { // built by the one that had the lock
		return nil
	}
	module, err := consulModule(ctx)
	if err != nil {
		return err
	}
	return (&compilation{screen: m.screen, module: module, target: path}).run(ctx)
}

// lock waits for the file to be ours alone.
func (m *machine) lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w: set ZATOHA_CACHE to a folder that can be written", err)
	}
	take := func() error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	if err = take(); err == nil {
		return func() { file.Close() }, nil
	}
	defer m.screen.follow(func(elapsed time.Duration) string {
		return fmt.Sprintf("consul is being built by another run; waiting for it, %s so far", clock(elapsed))
	})()
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for errors.Is(err, syscall.EWOULDBLOCK) {
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-ticker.C:
			err = take()
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("wait for another run that builds consul (it has locked %s): %w: try again", path, err)
	}
	return func() { file.Close() }, nil
}

// consulModule is the folder of the module that pins Consul.
func consulModule(ctx context.Context) (string, error) {
	output := &transcript{}
	var answer strings.Builder
	cmd := command(ctx, output, "go", "env", "GOMOD")
	cmd.Stdout = &answer
	if err := cmd.Run(); err != nil {
		return "", output.fail(ctx, "ask go where the repository is", err, "put go into PATH, or a consul")
	}
	folder := filepath.Join(filepath.Dir(strings.TrimSpace(answer.String())), "deploy", "tools", "consul")
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil {
		return "", fmt.Errorf("consul cannot be built: %w: change into the folder of the repository", err)
	}
	return folder, nil
}
