package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/lb/address"
)

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
	address.Fronts
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
	log.Info().Str("monitor", t.Monitor()).Str("file", g.files().Value()).Msg("following haproxy for keepalived")
	return address.Track(ctx, address.NewMonitor(t.Monitor()), outlook, g.files(), log)
}

// probeCommand asks once.
type probeCommand struct{ address.Fronts }

// Run fails if HAProxy does not answer; that it has no servers is an answer.
func (p *probeCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	monitor := address.NewMonitor(p.Monitor())
	defer monitor.Close()
	answer, err := monitor.Ask(ctx)
	if answer == address.Silent {
		return fmt.Errorf("haproxy does not answer: %w", err)
	}
	return nil
}

// yieldCommand gives the virtual address away.
type yieldCommand struct {
	address.Place
	address.Wishes
}

// Run gives the address away, and says what that took.
func (y *yieldCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if err := g.onlyHere(); err != nil {
		return err
	}
	outcome, err := y.Yield(ctx, g.paths().Stats(), g.files(), y.Wishes)
	if errors.Is(err, address.ErrCannotYield) {
		return program.BadConfig("--virtual-address", err.Error(), "start the load balancer with the same flag, and with this --state-dir")
	}
	if err != nil {
		return err
	}
	fmt.Println(outcome)
	return nil
}

// resumeCommand undoes a yield.
type resumeCommand struct{ address.Place }

// Run also takes away what a yield that was killed has left.
func (r *resumeCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if err := g.onlyHere(); err != nil {
		return err
	}
	if err := r.Resume(ctx, g.paths().Stats(), g.files()); err != nil {
		return err
	}
	fmt.Println("this load balancer can have the address again")
	return nil
}
