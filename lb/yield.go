package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/embedded"
	"zatoha/lb/address"
)

// fronts are the addresses at which HAProxy listens, as for the load balancer itself.
type fronts struct {
	Listen    program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
	TLSListen program.HostPort `name:"tls-listen" placeholder:"ADDRESS" help:"Address of the HTTPS front."`
}

// monitor is the URL of HAProxy's monitor as it is reached from this machine.
func (f fronts) monitor() string {
	return "http://" + string(f.Listen.Local()) + haproxy.AliveURI
}

func (f fronts) ports() []uint16 {
	ports := []uint16{uint16(f.Listen.Port())}
	if f.TLSListen != "" {
		ports = append(ports, uint16(f.TLSListen.Port()))
	}
	return ports
}

// files are where keepalived reads.
func (g *grammar) files() address.Files { return address.Files{Dir: g.StateDir} }

// exportAddress shows, as metrics, where the virtual address is.
func exportAddress(registry prometheus.Registerer, virtual netip.Addr, files address.Files) {
	gauge := func(name, help string, is func() bool) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{"address": virtual.String()},
		}, func() float64 {
			if is() {
				return 1
			}
			return 0
		}))
	}
	gauge("zatoha_lb_virtual_address", "1 while this machine has the virtual address.", func() bool {
		here, _ := address.Here(virtual) // who cannot tell his addresses has none to offer
		return here
	})
	gauge("zatoha_lb_virtual_address_yielded", "1 from a yield until it is resumed.", files.Yielded)
}

// onlyHere refuses what has to run beside HAProxy.
func (g *grammar) onlyHere() error {
	if g.DataPlane.URL != "" {
		return program.BadConfig("--dataplane-url", "the virtual address is a matter of the machine that HAProxy runs on",
			"run this command there, without that flag")
	}
	return nil
}

// trackCommand follows HAProxy for keepalived.
type trackCommand struct {
	fronts
	Peer []program.HostPort `placeholder:"HOST:PORT" help:"Front of another load balancer that the virtual address is shared with. Give it for each: one that sees none of them, and no leader of Consul, is the worse place when they see each other again."`
	consul.Settings
}

// Run ends with ctx.
func (t *trackCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	if err := g.onlyHere(); err != nil {
		return err
	}
	if err := makeDir(g.StateDir); err != nil {
		return err
	}
	agent, err := t.Settings.Client(program.Renewed(log, "the token for Consul"))
	if err != nil {
		return program.BadConfig("", err.Error(), "")
	}
	outlook := &address.Outlook{Leader: agent.Ping}
	for _, peer := range t.Peer {
		outlook.Peers = append(outlook.Peers, string(peer))
	}
	log.Info().Str("monitor", t.monitor()).Str("file", g.files().Value()).Msg("following haproxy for keepalived")
	return address.Track(ctx, address.NewMonitor(t.monitor()), outlook, g.files(), log)
}

// probeCommand asks once.
type probeCommand struct{ fronts }

// Run fails if HAProxy does not answer; that it has no servers is an answer.
func (p *probeCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	monitor := address.NewMonitor(p.monitor())
	defer monitor.Close()
	answer, err := monitor.Ask(ctx)
	if answer == address.Silent {
		return fmt.Errorf("haproxy does not answer: %w", err)
	}
	return nil
}

// yieldCommand gives the virtual address away.
type yieldCommand struct {
	fronts
	VirtualAddress netip.Addr    `required:"" placeholder:"IP" help:"The address, as the load balancer has it."`
	Turnover       time.Duration `default:"65s" help:"Longest wait for the connections of the beginning to end: each does behind its next answer, or when it has been idle for the load balancer's --keep-alive-timeout."`
	Gate           time.Duration `default:"500ms" help:"Longest time for which nobody can connect, while the last requests are answered; who tries connects a second later."`
	Move           time.Duration `default:"5s" help:"Longest wait for another load balancer to take the address."`
	Force          bool          `help:"When the first two times are over, go on and cut the connections that are left."`
}

// Run gives the address away, and says what that took.
func (y *yieldCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if err := g.onlyHere(); err != nil {
		return err
	}
	if text, err := os.ReadFile(g.HAProxyCfg); err != nil || !strings.Contains(string(text), haproxy.YieldVariable) {
		return program.BadConfig("--virtual-address", "HAProxy here cannot be told to close connections",
			"start the load balancer with the same flag, and with this --state-dir and --haproxy-cfg")
	}
	front, err := y.front(ctx, g)
	if err != nil {
		return err
	}
	defer front.gate.Close()
	limits := address.DefaultLimits()
	limits.Turnover, limits.Gate, limits.Move, limits.Force = y.Turnover, y.Gate, y.Move, y.Force
	outcome, err := address.Yield(ctx, front, limits)
	if err != nil {
		return err
	}
	fmt.Println(outcome)
	return nil
}

func (y *yieldCommand) front(ctx context.Context, g *grammar) (*ownFront, error) {
	stats := g.paths().Stats()
	listeners, err := embedded.Listeners(ctx, stats, y.ports())
	if err != nil {
		return nil, err
	}
	return &ownFront{
		address: y.VirtualAddress, ports: y.ports(), stats: stats, files: g.files(),
		gate: address.Gate{Address: y.VirtualAddress, Listeners: listeners},
	}, nil
}

// resumeCommand undoes a yield.
type resumeCommand struct {
	fronts
	VirtualAddress netip.Addr `required:"" placeholder:"IP" help:"The address, as the load balancer has it."`
}

// Run also takes away what a yield that was killed has left.
func (r *resumeCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if err := g.onlyHere(); err != nil {
		return err
	}
	front, err := (&yieldCommand{fronts: r.fronts, VirtualAddress: r.VirtualAddress}).front(ctx, g)
	if err != nil {
		return err
	}
	defer front.gate.Close()
	if err := errors.Join(front.Shut(ctx, false), front.Announce(ctx, false), front.Give(false)); err != nil {
		return err
	}
	fmt.Println("this load balancer can have the address again")
	return nil
}

// ownFront is HAProxy on this machine, as yielding sees it.
type ownFront struct {
	address netip.Addr
	ports   []uint16
	stats   string
	files   address.Files
	gate    address.Gate
}

// Has looks at the addresses of the machine's interfaces.
func (f *ownFront) Has() (bool, error) { return address.Here(f.address) }

// Announce tells HAProxy.
func (f *ownFront) Announce(ctx context.Context, on bool) error {
	if !on {
		return embedded.Announce(ctx, f.stats, netip.Addr{})
	}
	return embedded.Announce(ctx, f.stats, f.address)
}

// Shut filters the packets to HAProxy's listeners.
func (f *ownFront) Shut(_ context.Context, shut bool) error { return f.gate.Shut(shut) }

// Open reads the kernel's list.
func (f *ownFront) Open() ([]netip.AddrPort, error) { return address.Connections(f.address, f.ports) }

// Give leaves a mark for `lb track`.
func (f *ownFront) Give(away bool) error { return f.files.SetYielded(away) }
