package main

import (
	"context"
	"errors"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/embedded"
	"zatoha/haproxy/process"
	"zatoha/lb/admin"
)

// local is the HAProxy of this machine that the program starts, or adopts, and supervises.
type local struct {
	*embedded.DataPlane
	process      *process.Process
	certificates *embedded.Certificates
	binary       string
	paths        process.Paths
	options      haproxy.Options
	machine      string
	log          zerolog.Logger
}

func newLocal(binary string, paths process.Paths, options haproxy.Options, log zerolog.Logger, changed func()) (*local, error) {
	machine, err := hostname()
	if err != nil {
		return nil, err
	}
	options.SlotMaxConn = 0 // the limit of a running server can be set
	if options.TLS.Certificate != "" {
		options.TLS.Certificate = kong.ExpandPath(options.TLS.Certificate)
	}
	supervised := process.New(binary, paths, log, changed)
	plane := embedded.New(binary, paths, options, supervised)
	return &local{
		DataPlane: plane, process: supervised, certificates: plane.Certificates(log),
		binary: binary, paths: paths, options: options, machine: machine, log: log,
	}, nil
}

func (l *local) claim(ctx context.Context) (unlock func(), err error) {
	err = process.CheckVersion(ctx, l.binary)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, program.BadConfig("--haproxy-bin", err.Error(), "")
	}
	if err := l.paths.Check(); err != nil {
		return nil, program.BadConfig("--state-dir", err.Error(), "")
	}
	if unlock, err = claimDir(l.paths.Dir); err != nil {
		return nil, err
	}
	if err := l.free(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// free says whether the front is there for HAProxy, which has it already if it runs. Who is told to stop meanwhile cannot
// tell HAProxy from somebody else that listens there.
func (l *local) free(ctx context.Context) error {
	if l.running(ctx) || ctx.Err() != nil {
		return ctx.Err()
	}
	return l.vacant()
}

// vacant says whether the front can listen; HAProxy would not say that as clearly.
func (l *local) vacant() error {
	for flag, address := range map[string]string{"--listen": l.options.Bind, "--tls-listen": l.options.TLS.Bind} {
		if address == "" {
			continue
		}
		listener, err := program.Listen(flag, program.HostPort(address))
		if err != nil {
			return err
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (l *local) running(ctx context.Context) bool { return process.Running(ctx, l.paths) }

// run keeps HAProxy running, with the certificates that their files have, and listens to it.
func (l *local) run(ctx context.Context, told func(haproxy.Event)) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return l.process.Run(ctx) })
	parts.Go(func() error { return l.Events(l.log, told).Run(ctx) })
	parts.Go(func() error { return l.certificates.Run(ctx) })
	err := parts.Wait()
	if running := l.process.Status(); running.Master != 0 {
		l.log.Info().Int("haproxy", running.Master).Msg("the controller ends, haproxy goes on serving; to stop it: lb stop-haproxy")
	}
	return err
}

// Look reads the process that is supervised, its certificates, and its counters. A worker that hangs, and so does not
// give them, must not cost the status page all that is known besides.
func (l *local) Look(ctx context.Context) admin.Seen {
	seen := admin.Seen{
		DataPlane: admin.DataPlane{Kind: admin.Embedded, Address: l.paths.Config}, Process: l.process.Look(ctx), Certificates: l.certificates.List(),
	}
	seen.Running, seen.RolledBack = seen.Process.Master != 0, l.Placed().RolledBack
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	seen.Stats, seen.Err = l.Counters(ctx)
	seen.Reachable = seen.Err == nil
	return seen
}

func (l *local) about() about {
	return about{place: l.paths.Config, machine: l.machine, host: "127.0.0.1"}
}

// refusal takes for configuration what the file says, and where it is. Anything else may be better when the program is
// started again: a full disk, or an HAProxy that does not answer.
func (l *local) refusal(err error) error {
	_, unfit := errors.AsType[*embedded.FileError](err)
	_, invalid := errors.AsType[*process.InvalidError](err)
	if unfit || invalid || misplaced(err) {
		return program.BadConfig("--haproxy-cfg", err.Error(), "")
	}
	return err
}
