// Program server runs services behind the load balancer: it answers HTTP requests by calling services and keeps itself
// registered in Consul for as long as it can answer.
//
// One case from start to end: `server --listen 127.0.0.1:17011` listens, asks itself for /zato/ping, and registers as
// zato-server-<host>-17011 with an HTTP check, passing from the first moment, so that the load balancer sends it traffic
// at once. At SIGTERM it puts itself into maintenance, which makes the load balancer drain its slot; goes on answering
// until the load balancer acknowledges that in the key zato/main/drained/zato-server-<host>-17011; stops accepting,
// finishes what is in flight, deregisters, and exits with status 0. Without Consul it serves all the same and registers
// when Consul is there; without an acknowledgement it leaves after --drain-timeout.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/service"
)

func main() {
	os.Exit(program.Main("server", "Runs services behind the load balancer and keeps itself registered in Consul.", &settings{}))
}

// settings is what an operator can choose; the tags are the documentation.
type settings struct {
	Listen    program.HostPort `default:"127.0.0.1:17010" help:"Address to serve on."`
	Advertise program.HostPort `placeholder:"HOST:PORT" help:"Address at which the load balancer and Consul reach this server. Default: the listen address, or the machine's first one if that is unspecified."`

	Service string `default:"zato-server" help:"Consul service to register under."`
	Cluster string `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/."`
	ID      string `placeholder:"ID" help:"Consul service ID, unique and stable across restarts. Default: <service>-<host name>-<port>."`

	ConsulHTTPAddr  string        `env:"CONSUL_HTTP_ADDR" default:"127.0.0.1:8500" help:"Consul agent. The other CONSUL_* variables hold too."`
	CheckInterval   time.Duration `default:"1s" help:"How often Consul asks for /zato/ping; at least 1s."`
	DeregisterAfter time.Duration `default:"10m" help:"Consul forgets a server that has been failing for so long; at least 1m, 0 for never."`

	ProxyUpstream   string `placeholder:"URL" help:"Application behind this server, like http://127.0.0.1:8000: it gets every request whose path is not the server's own."`
	ProxyHealthPath string `placeholder:"PATH" help:"What to ask the application for to know whether it is well; any answer but a 5xx is good. Default: connecting is enough."`

	DrainTimeout  time.Duration `default:"3s" help:"Longest wait, when stopping, for the load balancer to drain this server; 0 for none."`
	FinishTimeout time.Duration `default:"5s" help:"Longest wait, after that, for requests in flight."`

	program.Common
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate is kong's hook. It reports every fault.
func (s *settings) Validate() error {
	var faults []error
	for _, name := range []struct{ flag, value string }{{"service", s.Service}, {"cluster", s.Cluster}, {"id", s.ID}} {
		if !validName.MatchString(name.value) && (name.flag != "id" || name.value != "") {
			faults = append(faults, fmt.Errorf("--%s: %q: must be of letters, digits and . _ - and begin with one of the first two", name.flag, name.value))
		}
	}
	if s.CheckInterval < time.Second {
		faults = append(faults, fmt.Errorf("--check-interval: %v: must be at least 1s, Consul checks no more often", s.CheckInterval))
	}
	if s.DeregisterAfter != 0 && s.DeregisterAfter < time.Minute {
		faults = append(faults, fmt.Errorf("--deregister-after: %v: must be 0 or at least 1m, Consul is no faster", s.DeregisterAfter))
	}
	if s.DrainTimeout < 0 {
		faults = append(faults, fmt.Errorf("--drain-timeout: %v: must not be negative", s.DrainTimeout))
	}
	if s.FinishTimeout <= 0 {
		faults = append(faults, fmt.Errorf("--finish-timeout: %v: must be positive", s.FinishTimeout))
	}
	if s.Advertise != "" && program.Unspecified(s.Advertise.Host()) {
		faults = append(faults, fmt.Errorf("--advertise: %q: must name a host that others can reach", s.Advertise))
	}
	if s.ProxyHealthPath != "" && s.ProxyUpstream == "" {
		faults = append(faults, errors.New("--proxy-health-path: needs --proxy-upstream"))
	}
	return errors.Join(faults...)
}

// Run is the program: see the package comment.
func (s *settings) Run(ctx context.Context, log zerolog.Logger) error {
	agent, err := consul.New(s.ConsulHTTPAddr)
	if err != nil {
		return program.BadConfig("--consul-http-addr", err.Error(), "")
	}
	listener, err := program.Listen("--listen", s.Listen)
	if err != nil {
		return err
	}
	return s.serve(ctx, listener, agent, log)
}

// serve puts the parts together and lets them live until ctx ends. It closes the listener.
func (s *settings) serve(ctx context.Context, listener net.Listener, agent agent, log zerolog.Logger) error {
	services := service.NewRegistry()
	var routes front.Table
	application := &application{}
	if err := application.name(services, s); err != nil {
		return err
	}
	ping, _ := services.Lookup("zato.ping")
	if err := routes.Add(pingPath, application.ifReady(ping), "GET", "POST"); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	registration, err := s.registration(listener.Addr(), services)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	log = log.With().Str("id", registration.ID).Logger()
	log.Info().Stringer("listen", listener.Addr()).Str("check", registration.Check.URL).
		Str("version", registration.Meta["version"]).Strs("services", services.Names()).Msg("listening")
	answering := front.New(&routes, front.DefaultLimits(), registry, log)
	if err := application.attach(answering, s); err != nil {
		return errors.Join(err, listener.Close())
	}
	if application.proxy != nil && application.proxy.Ready(ctx) != nil {
		registration.Check.InitialStatus = consul.Critical
	}
	return life{
		front:         answering,
		listener:      listener,
		member:        &membership{agent: agent, registration: registration, ackKey: consul.DrainedKey(s.Cluster, registration.ID), log: log},
		drainTimeout:  s.DrainTimeout,
		finishTimeout: s.FinishTimeout,
		log:           log,
	}.run(ctx)
}
