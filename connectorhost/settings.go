package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

// settings are the choices that make a connector host.
type settings struct {
	Listen    program.HostPort `default:"127.0.0.1:17110" help:"Address of /connectors and the metrics, and of what others ask of the active host."`
	Advertise program.HostPort `placeholder:"HOST:PORT" help:"Address at which others reach this host. Default: the listen address, or the machine's first one if that is unspecified."`

	Service string `default:"zato-connectorhost" help:"Consul service to register under."`
	Cluster string `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/."`
	ID      string `placeholder:"ID" help:"Consul service ID, unique and stable across restarts. Default: <service>-<host name>-<port>."`

	consul.Settings
	LeaseTTL       time.Duration `name:"lease-ttl" default:"1s" help:"How long the lease outlives its holder; the connectors stop at 80 % of it without a word from Consul."`
	LeaseBeat      time.Duration `default:"250ms" help:"How often the lease is confirmed; at most a quarter of its TTL."`
	DrainTimeout   time.Duration `default:"10s" help:"Longest time that a connector which is to stop may take to finish what it has in hand."`
	SpareProcesses int           `default:"64" help:"Most processes that wait for a connector to be started, so that it need not wait for one: there are as many as connectors that run on another host, and one. Each takes 2 MB of its own."`

	InvokeURL       string        `name:"invoke-url" default:"http://127.0.0.1:11223" help:"Address at which channels call services: the load balancer's front."`
	InvokeTokenFile string        `placeholder:"FILE" help:"File with the token that channels show to servers, and that servers have to show when they send: the same as the servers' --invoke-token-file."`
	InvokeToken     string        `placeholder:"TOKEN" help:"The token itself; others see a command line, so give it by the environment variable."`
	InvokeTimeout   time.Duration `default:"60s" help:"Longest wait for a service; longer than the load balancer's --server-timeout, which answers before."`
	MaxMessageBytes int64         `default:"16777216" help:"Largest message that services may send; more is answered with 413."`

	DeregisterAfter time.Duration `default:"10m" help:"Consul forgets a host that has been away for so long; at least 1m, 0 for never."`
}

const maxSpare = 100

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
	refuse(s.ID != "" && !program.ValidName(s.ID), "--id: %q: %s", s.ID, program.NameRule)
	refuse(s.LeaseTTL < 200*time.Millisecond || s.LeaseTTL > 10*time.Minute, "--lease-ttl: %v: must be 200ms..10m", s.LeaseTTL)
	refuse(s.LeaseBeat < 10*time.Millisecond || s.LeaseBeat > s.LeaseTTL/4,
		"--lease-beat: %v: must be at least 10ms and at most a quarter of --lease-ttl, which is %v", s.LeaseBeat, s.LeaseTTL)
	refuse(s.DrainTimeout <= 0, "--drain-timeout: %v: must be positive", s.DrainTimeout)
	refuse(s.InvokeTimeout <= 0, "--invoke-timeout: %v: must be positive", s.InvokeTimeout)
	refuse(s.SpareProcesses < 0 || s.SpareProcesses > maxSpare, "--spare-processes: %d: must be 0 to %d", s.SpareProcesses, maxSpare)
	refuse(s.DeregisterAfter != 0 && s.DeregisterAfter < time.Minute, "--deregister-after: %v: must be 0 or at least 1m, Consul is no faster", s.DeregisterAfter)
	refuse(s.Advertise != "" && program.Unspecified(s.Advertise.Host()), "--advertise: %q: must name a host that others can reach", s.Advertise)
	refuse(s.MaxMessageBytes < 1 || s.MaxMessageBytes > 1<<30, "--max-message-bytes: %d: must be 1 to 1073741824", s.MaxMessageBytes)
	base, err := url.Parse(s.InvokeURL)
	refuse(err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "", "--invoke-url: %q: must be like http://HOST:PORT", s.InvokeURL)
	return errors.Join(faults...)
}

func (s *settings) policy() supervise.Policy {
	policy := supervise.DefaultPolicy()
	policy.Drain = s.DrainTimeout
	return policy
}

// identify gives the host its ID.
func (s *settings) identify(port int) (err error) {
	if s.ID == "" {
		s.ID, err = program.InstanceID(s.Service, port)
	}
	return err
}

// agent is what a connector host asks of Consul: see the methods of consul.Client.
type agent = *consul.Client
