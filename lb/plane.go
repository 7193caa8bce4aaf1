package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/admin"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// plane is the HAProxy that the program drives, with what there is to do about it beside following Consul. There are
// two: local, which is started and supervised here, and behindAPI, which somebody else runs.
type plane interface {
	haproxy.DataPlane
	admin.Plane

	// claim checks what must be so before anything is changed, and takes the HAProxy for this process until unlocked.
	claim(ctx context.Context) (unlock func(), err error)
	// running says whether HAProxy runs now.
	running(ctx context.Context) bool
	// run does what HAProxy needs all the time, until ctx ends. HAProxy goes on serving then. What its health checks
	// find is told, where HAProxy can report it.
	run(ctx context.Context, told func(haproxy.Event)) error
	// about is what others are told of it.
	about() about
	// refusal is what the data plane does not accept at a start, as an error of the configuration if it is one.
	refusal(err error) error
}

// about says where an HAProxy is.
type about struct {
	place   string // its configuration, as a path or URL
	machine string // the name of its machine
	host    string // where this machine finds its front, if that listens on all addresses
	address string // where others find it, likewise; "" for that of Consul's node
}

// hostname is the name under which this machine's HAProxy is registered.
func hostname() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine has no name to register under: %w", err)
	}
	return name, nil
}

// plane is the HAProxy that the flags name, with our sections as the options say. The function is called when it has
// come or gone.
func (g *grammar) plane(options haproxy.Options, log zerolog.Logger, changed func()) (plane, error) {
	if g.DataPlane.URL != "" {
		return newBehindAPI(g.DataPlane, g.StateDir, options, log, changed)
	}
	return newLocal(g.HAProxyBin, g.paths(), options, log, changed)
}

// lastPool is the pool with which the last controller ended.
func lastPool(ctx context.Context, plane plane, slots int) (state.Pool, error) {
	saved, err := plane.Saved()
	if err != nil {
		return state.Pool{}, err
	}
	var running []haproxy.Server
	if plane.running(ctx) {
		if running, err = plane.Servers(ctx); err != nil {
			return state.Pool{}, fmt.Errorf("the running haproxy does not tell its servers: %w", err)
		}
	}
	return reconcile.Pool(saved, running, slots), nil
}

// misplaced says that a file or folder cannot be where the flags say. A disk that is full, or has become read-only, is
// none of their business, nor is a socket at which nobody listens.
func misplaced(err error) bool {
	_, file := errors.AsType[*fs.PathError](err)
	return file && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR))
}

// makeDir makes the state directory, if need be.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return badDir(err)
	}
	return nil
}

func badDir(err error) error {
	if !misplaced(err) {
		return fmt.Errorf("the state directory: %w", err)
	}
	return program.BadConfig("--state-dir", err.Error(), "choose a directory that this user may write")
}

// claimDir makes the state directory, if need be, and takes it for this process.
func claimDir(dir string) (unlock func(), err error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	return lock(dir)
}

// lock takes the directory for as long as this process lives, or until unlocked.
func lock(dir string) (unlock func(), err error) {
	unlock, err = program.Lock(filepath.Join(dir, "lb.lock"), os.O_CREATE)
	switch {
	case errors.Is(err, program.ErrLocked):
		return nil, program.BadConfig("--state-dir", "another load balancer runs in "+dir, "stop it, or choose another directory")
	case err != nil:
		return nil, badDir(err)
	}
	return unlock, nil
}
