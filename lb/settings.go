package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/address"
	"zatoha/lb/state"
)

// settings are the choices that make a load balancer.
type settings struct {
	Listen      program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
	AdminListen program.HostPort `default:"127.0.0.1:11224" help:"Address of the status page and the metrics."`

	Service string `default:"zato-server" help:"Consul service that is balanced."`
	Cluster string `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/."`

	ConnectorhostService string `default:"zato-connectorhost" help:"Consul service of the connector hosts; those of the cluster are shown on the status page."`

	consul.Settings

	Slots    int                `default:"10" help:"Server slots to begin with."`
	Headroom int                `default:"10" help:"Free slots to have after growing, which takes a reload."`
	Guard    float64            `default:"0.5" help:"Largest share of the servers taking traffic that may be lost unannounced at once; more are kept. 1 turns the guard off."`
	Parity   state.ParityPolicy `default:"report" enum:"report,hold" help:"What becomes of a server whose services are not those of most servers: ${enum}. hold keeps it out of rotation until it is like most, or as many are like it."`
	Resync   time.Duration      `default:"5s" help:"Longest time between two comparisons of HAProxy with what it should be."`
	CheckURI string             `default:"/zato/ping" help:"What HAProxy's health checks ask of a server; any answer but a 5xx is good."`

	VirtualAddress netip.Addr `placeholder:"IP" help:"Address that this load balancer shares with others and that keepalived gives to one of them at a time. It makes 'lb yield' possible, which gives it away. --listen and --tls-listen have to be at all addresses then."`

	frontFlags
}

// Validate is kong's hook. It reports every fault.
func (s *settings) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse(!program.ValidName(s.Service), "--service: %q: %s", s.Service, program.NameRule)
	refuse(!program.ValidName(s.Cluster), "--cluster: %q: %s", s.Cluster, program.NameRule)
	refuse(!program.ValidName(s.ConnectorhostService), "--connectorhost-service: %q: %s", s.ConnectorhostService, program.NameRule)
	refuse(s.Slots < 1 || s.Slots > 10000, "--slots: %d: must be 1..10000", s.Slots)
	refuse(s.Headroom < 0 || s.Headroom > 1000, "--headroom: %d: must be 0..1000", s.Headroom)
	refuse(s.Guard < 0 || s.Guard > 1, "--guard: %v: must be 0..1", s.Guard)
	refuse(s.Resync < 100*time.Millisecond, "--resync: %v: must be at least 100ms", s.Resync)
	refuse(!validURI(s.CheckURI), "--check-uri: %q: must begin with / and have no spaces", s.CheckURI)
	fronts := s.fronts()
	return errors.Join(append(faults, program.Distinct(fronts.Listeners()...), fronts.CheckVirtual(s.VirtualAddress), s.frontFlags.Validate())...)
}

// fronts are where HAProxy listens.
func (s *settings) fronts() address.Fronts {
	return address.Fronts{Listen: s.Listen, TLSListen: s.TLSListen}
}

// plane is the HAProxy that the settings are for. That of another machine has ports of its own. On this one, a status
// page at a front's port would be there first, and HAProxy would be started in vain for ever.
func (s *settings) plane(g *grammar, log zerolog.Logger, changed func()) (plane, error) {
	if g.DataPlane.URL == "" {
		page := program.Listener{Flag: "--admin-listen", Address: s.AdminListen}
		if err := program.Distinct(append(s.fronts().Listeners(), page)...); err != nil {
			return nil, err
		}
	}
	return g.plane(s.options(), log, changed)
}

func (s *settings) policy() state.Policy {
	return state.Policy{Headroom: s.Headroom, Guard: s.Guard, Parity: s.Parity}
}

// options are what the settings say of our sections of haproxy.cfg.
func (s *settings) options() haproxy.Options {
	options := haproxy.DefaultOptions()
	options.Bind, options.CheckURI = string(s.Listen), s.CheckURI
	options.SlotMaxConn, options.Yields = s.ServerMaxConn, s.VirtualAddress.IsValid()
	s.apply(&options)
	return options
}

// registration is how Consul shall know this load balancer: by its front, whose monitor says whether it can serve.
func (s *settings) registration(where about) consul.Registration {
	host, advertised := s.Listen.Host(), s.Listen.Host()
	if program.Unspecified(host) {
		host, advertised = where.host, where.address
	}
	port := s.Listen.Port()
	return consul.Registration{
		ID: fmt.Sprintf("zato-lb-%s-%d", where.machine, port), Name: "zato-lb", Address: advertised, Port: port,
		Meta: map[string]string{"version": program.Version(), "balances": s.Service, "admin": string(s.AdminListen)},
		Check: &consul.HTTPCheck{
			URL:      "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + haproxy.AliveURI,
			Interval: time.Second, Timeout: time.Second, DeregisterCriticalAfter: 24 * time.Hour,
		},
	}
}

var uri = regexp.MustCompile(`^/[!-~]*$`)

// validURI says whether HAProxy can ask for it.
func validURI(text string) bool { return uri.MatchString(text) }
