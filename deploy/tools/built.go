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

// built is a program that Go builds from a module of its own, the folder deploy/tools/<name>, into the cache.
type built struct {
	name, release string
	pkg           string // import path of the program
	takes         string // how long it takes when nothing is compiled yet
	find, cached  func() (path string, err error)
}

var (
	consul = built{
		"consul", find.ConsulRelease, "github.com/hashicorp/consul",
		"about 4-12 minutes on 2 cores", // from 3m46s and 11m measured on two machines
		find.FindConsul, find.CachedConsul,
	}
	consulTemplate = built{
		"consul-template", find.ConsulTemplateRelease, "github.com/hashicorp/consul-template",
		"about a minute on 2 cores", // 17 s measured where much was compiled already
		find.FindConsulTemplate, find.CachedConsulTemplate,
	}
)

// lockPoll is how often a run that waits for another looks whether that has ended.
const lockPoll = 200 * time.Millisecond

// build returns a function that builds a program. Of two runs that are started at once, one builds and the other waits
// for it.
func (m *machine) build(b built) func(context.Context) error {
	return func(ctx context.Context) error { return m.buildInto(ctx, b) }
}

func (m *machine) buildInto(ctx context.Context, b built) error {
	path, err := b.cached()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a folder for %s: %w: set ZATOHA_CACHE to a folder that can be written", b.name, err)
	}
	unlock, err := m.lock(ctx, b.name, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := b.find(); err == nil { // built by the one that had the lock
		return nil
	}
	module, err := b.module(ctx)
	if err != nil {
		return err
	}
	return (&compilation{built: b, screen: m.screen, folder: module, target: path}).run(ctx)
}

// lock waits for the file to be ours alone.
func (m *machine) lock(ctx context.Context, name, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w: set ZATOHA_CACHE to a folder that can be written", err)
	}
	take := func() error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	if err = take(); err == nil {
		return func() { file.Close() }, nil
	}
	defer m.screen.follow(func(elapsed time.Duration) string {
		return fmt.Sprintf("%s is being built by another run; waiting for it, %s so far", name, clock(elapsed))
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
		return nil, fmt.Errorf("wait for another run that builds %s (it has locked %s): %w: try again", name, path, err)
	}
	return func() { file.Close() }, nil
}

// module is the folder of the module that pins it.
func (b built) module(ctx context.Context) (string, error) {
	output := &transcript{}
	var answer strings.Builder
	cmd := command(ctx, output, "go", "env", "GOMOD")
	cmd.Stdout = &answer
	if err := cmd.Run(); err != nil {
		return "", output.fail(ctx, "ask go where the repository is", err, "put go into PATH, or a "+b.name)
	}
	folder := filepath.Join(filepath.Dir(strings.TrimSpace(answer.String())), "deploy", "tools", b.name)
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil {
		return "", fmt.Errorf("%s cannot be built: %w: change into the folder of the repository", b.name, err)
	}
	return folder, nil
}
