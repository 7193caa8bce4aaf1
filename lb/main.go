// Program lb is the load balancer's controller: it starts and supervises HAProxy, follows a service in Consul, keeps
// HAProxy's backend in step with it, and tells the truth about all of that.
//
// One life, from start to end: `lb` reads which servers haproxy.cfg had last, puts its own sections into the file,
// starts HAProxy or adopts the one that runs already, and follows zato-server in Consul. Consul away: HAProxy serves
// the last servers meanwhile. At SIGTERM the controller ends and HAProxy goes on; `lb stop-haproxy` ends HAProxy too.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/embedded"
	"zatoha/haproxy/process"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

func main() {
	os.Exit(program.Main("lb", "Balances a cluster of servers: keeps HAProxy in step with Consul.", &grammar{}))
}

type grammar struct {
	Run         runCommand  `cmd:"" default:"withargs" help:"Run the load balancer (the default)."`
	StopHAProxy stopCommand `cmd:"" name:"stop-haproxy" help:"Stop the HAProxy that the load balancer left running."`

	StateDir   string `default:"/var/lib/zatoha/lb" help:"Directory for HAProxy's sockets, pid file and log. One controller per directory."`
	HAProxyCfg string `name:"haproxy-cfg" placeholder:"FILE" help:"HAProxy's configuration file; lines that are not ours stay as they are. Default: haproxy.cfg in the state directory."`

	program.Common
}

// AfterApply fills in what depends on other settings.
func (g *grammar) AfterApply() error {
	if g.HAProxyCfg == "" {
		g.HAProxyCfg = filepath.Join(g.StateDir, "haproxy.cfg")
	}
	return nil
}

func (g *grammar) paths() process.Paths { return process.Paths{Config: g.HAProxyCfg, Dir: g.StateDir} }

type runCommand struct {
	Listen      program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
	AdminListen program.HostPort `default:"127.0.0.1:11224" help:"Address of the status page and the metrics."`

	Service string `default:"zato-server" help:"Consul service that is balanced."`
	Cluster string `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/."`

	ConsulHTTPAddr string `env:"CONSUL_HTTP_ADDR" default:"127.0.0.1:8500" help:"Consul agent. The other CONSUL_* variables hold too."`
	HAProxyBin     string `name:"haproxy-bin" default:"haproxy" help:"HAProxy's program, 2.6 or newer."`

	Slots    int           `default:"10" help:"Server slots to begin with."`
	Headroom int           `default:"10" help:"Free slots to have after growing, which takes a reload."`
	Guard    float64       `default:"0.5" help:"Largest share of the servers that may vanish unannounced at once; more are kept. 1 turns the guard off."`
	Resync   time.Duration `default:"5s" help:"Longest time between two comparisons of HAProxy with what it should be."`
	CheckURI string        `default:"/zato/ping" help:"What HAProxy's health checks ask of a server; any answer but a 5xx is good."`
}

// Validate is kong's hook. It reports every fault.
func (r *runCommand) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse(r.Service == "", "--service: must not be empty")
	refuse(r.Cluster == "", "--cluster: must not be empty")
	refuse(r.Slots < 1 || r.Slots > 10000, "--slots: %d: must be 1..10000", r.Slots)
	refuse(r.Headroom < 0 || r.Headroom > 1000, "--headroom: %d: must be 0..1000", r.Headroom)
	refuse(r.Guard < 0 || r.Guard > 1, "--guard: %v: must be 0..1", r.Guard)
	refuse(r.Resync < 100*time.Millisecond, "--resync: %v: must be at least 100ms", r.Resync)
	refuse(!validURI(r.CheckURI), "--check-uri: %q: must begin with / and have no spaces", r.CheckURI)
	return errors.Join(faults...)
}

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
	listener, err := net.Listen("tcp", string(r.AdminListen))
	if err != nil {
		return refusedToListen("--admin-listen", r.AdminListen, err)
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
	if err := vacant(r.Listen); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
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

// vacant says whether HAProxy will be able to listen, while that can still be told in one line.
func vacant(address program.HostPort) error {
	listener, err := net.Listen("tcp", string(address))
	if err != nil {
		return refusedToListen("--listen", address, err)
	}
	return listener.Close()
}

func refusedToListen(flag string, address program.HostPort, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return program.BadConfig(flag, fmt.Sprintf("%s is in use", address), "stop the program that has it, or choose another port")
	}
	return program.BadConfig(flag, err.Error(), "choose an address of this machine and a port that this user may open")
}

// assemble puts the parts together and the configuration file in order.
func (r *runCommand) assemble(ctx context.Context, agent *consul.Client, paths process.Paths, log zerolog.Logger) (*controller, error) {
	c := &controller{agent: agent, service: r.Service, log: log}
	c.haproxy = process.New(r.HAProxyBin, paths, log, func() { c.loop.Wake() })
	options := haproxy.DefaultOptions()
	options.Bind, options.CheckURI = string(r.Listen), r.CheckURI
	c.plane = embedded.New(r.HAProxyBin, paths, options, c.haproxy)

	saved, err := c.plane.Saved()
	if err != nil {
		return nil, program.BadConfig("--haproxy-cfg", err.Error(), "")
	}
	pool := reconcile.Pool(saved, r.Slots)
	c.equip(pool, r)
	if err := c.plane.Prepare(ctx, reconcile.Servers(pool)); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, program.BadConfig("--haproxy-cfg", err.Error(), "")
	}
	if used := pool.Used(); used > 0 {
		log.Info().Int("servers", used).Str("file", paths.Config).Msg("going on with the servers that the file had last")
	}
	c.registration, err = r.registration()
	return c, err
}

func (r *runCommand) policy() state.Policy { return state.Policy{Headroom: r.Headroom, Guard: r.Guard} }

// registration is how Consul shall know this load balancer: by its front, whose monitor says whether it can serve.
func (r *runCommand) registration() (consul.Registration, error) {
	name, err := os.Hostname()
	if err != nil {
		return consul.Registration{}, fmt.Errorf("this machine has no name to register under: %w", err)
	}
	local := r.Listen.Host()
	if ip := net.ParseIP(local); local == "" || ip != nil && ip.IsUnspecified() {
		local = "127.0.0.1"
	}
	port := r.Listen.Port()
	return consul.Registration{
		ID: fmt.Sprintf("zato-lb-%s-%d", name, port), Name: "zato-lb", Port: port,
		Meta: map[string]string{"version": program.Version(), "balances": r.Service, "admin": string(r.AdminListen)},
		Check: &consul.HTTPCheck{
			URL:      "http://" + net.JoinHostPort(local, strconv.Itoa(port)) + haproxy.AliveURI,
			Interval: time.Second, Timeout: time.Second, DeregisterCriticalAfter: 24 * time.Hour,
		},
	}, nil
}

type stopCommand struct{}

// Run ends HAProxy and removes its sockets and pid file.
func (stopCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := process.Stop(ctx, g.paths()); err != nil {
		return err
	}
	log.Info().Str("state_dir", g.StateDir).Msg("haproxy is stopped")
	return nil
}
