package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/embedded"
	"zatoha/haproxy/process"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// runCommand runs the load balancer.
type runCommand struct{ settings }

// Run is the program: see the package comment.
func (r *runCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	agent, err := consul.New(r.ConsulHTTPAddr)
	if err != nil {
		return program.BadConfig("--consul-http-addr", err.Error(), "")
	}
	unlock, err := r.claim(ctx, g.paths())
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := program.Listen("--admin-listen", r.AdminListen)
	if err != nil {
		return err
	}
	controller, err := r.assemble(ctx, agent, g.paths(), log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return controller.run(ctx, listener)
}

// claim checks what must be so before anything is changed, and takes the state directory for this process.
func (r *runCommand) claim(ctx context.Context, paths process.Paths) (unlock func(), err error) {
	if err := process.CheckVersion(ctx, r.HAProxyBin); err != nil {
		return nil, program.BadConfig("--haproxy-bin", err.Error(), "")
	}
	if err := paths.Check(); err != nil {
		return nil, program.BadConfig("--state-dir", err.Error(), "")
	}
	if err := os.MkdirAll(paths.Dir, 0o750); err != nil {
		return nil, program.BadConfig("--state-dir", err.Error(), "choose a directory that this user may write")
	}
	unlock, err = lock(paths.Dir)
	if err != nil {
		return nil, program.BadConfig("--state-dir", err.Error(), "")
	}
	if process.Running(ctx, paths) {
		return unlock, nil
	}
	if err := r.vacant(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// vacant says whether the front can listen; HAProxy would not say that as clearly.
func (s *settings) vacant() error {
	for flag, address := range map[string]program.HostPort{"--listen": s.Listen, "--tls-listen": s.TLSListen} {
		if address == "" {
			continue
		}
		listener, err := program.Listen(flag, address)
		if err != nil {
			return err
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the directory for as long as this process lives, or until unlocked.
func lock(dir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, "lb.lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("%w: choose a directory that this user may write", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("another load balancer runs in %s: stop it, or choose another directory", dir)
	}
	return func() { file.Close() }, nil
}

// assemble puts the parts together and the configuration file in order.
func (r *runCommand) assemble(ctx context.Context, agent *consul.Client, paths process.Paths, log zerolog.Logger) (*controller, error) {
	registration, err := r.registration()
	if err != nil {
		return nil, err
	}
	c := &controller{agent: agent, service: r.Service, registration: registration, seen: newLastSeen(paths.Dir), log: log}
	c.haproxy = process.New(r.HAProxyBin, paths, log, func() { c.loop.Wake() })
	c.plane = r.dataPlane(paths, c.haproxy)
	pool, err := r.lastPool(ctx, c.plane, paths)
	if err != nil {
		return nil, program.BadConfig("--haproxy-cfg", err.Error(), "")
	}
	c.equip(pool, r)
	if err := c.plane.Prepare(ctx, reconcile.Servers(pool)); err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, program.BadConfig("--haproxy-cfg", err.Error(), "")
	}
	if used := pool.Used(); used > 0 {
		log.Info().Int("servers", used).Str("file", paths.Config).Msg("going on with the servers that the file had last")
	}
	return c, nil
}

func (s *settings) dataPlane(paths process.Paths, supervised *process.Process) *embedded.DataPlane {
	options := haproxy.DefaultOptions()
	options.Bind, options.CheckURI = string(s.Listen), s.CheckURI
	s.apply(&options)
	return embedded.New(s.HAProxyBin, paths, options, supervised)
}

// lastPool is the pool with which the last controller ended.
func (s *settings) lastPool(ctx context.Context, plane *embedded.DataPlane, paths process.Paths) (state.Pool, error) {
	saved, err := plane.Saved()
	if err != nil {
		return state.Pool{}, err
	}
	var running []haproxy.Server
	if process.Running(ctx, paths) {
		if running, err = plane.Servers(ctx); err != nil {
			return state.Pool{}, fmt.Errorf("the running haproxy does not tell its servers: %w", err)
		}
	}
	return reconcile.Pool(saved, running, s.Slots), nil
}
