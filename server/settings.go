package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/service"
)

// settings is what an operator can choose; the tags are the documentation.
type settings struct {
	Listen    program.HostPort `default:"127.0.0.1:17010" help:"Address to serve on."`
	Advertise program.HostPort `placeholder:"HOST:PORT" help:"Address at which the load balancer and Consul reach this server. Default: the listen address, or the machine's first one if that is unspecified."`

	Service string   `default:"zato-server" help:"Consul service to register under."`
	Cluster string   `default:"main" help:"Name of the cluster: its keys in Consul begin with zato/<cluster>/."`
	ID      string   `placeholder:"ID" help:"Consul service ID, unique and stable across restarts. Default: <service>-<host name>-<port>."`
	Tags    []string `placeholder:"TAG" help:"Tags in Consul, parted by commas, by which others find this server that follow Consul too: urlprefix-/ for fabio. Our load balancer does not ask for them."`

	consul.Settings
	CheckInterval   time.Duration `default:"1s" help:"How often Consul asks for /zato/ping; at least 1s."`
	DeregisterAfter time.Duration `default:"10m" help:"Consul forgets a server that has been failing for so long; at least 1m, 0 for never."`

	ProxyUpstream   string `placeholder:"URL" help:"Application behind this server, like http://127.0.0.1:8000: it gets every request whose path is not the server's own, and those of channels whose service is proxy."`
	ProxyHealthPath string `placeholder:"PATH" help:"What to ask the application for to know whether it is well; any answer but a 5xx is good. Default: connecting is enough."`

	DrainTimeout  time.Duration `default:"3s" help:"Longest wait, when stopping, for the load balancer to drain this server; 0 for none."`
	FinishTimeout time.Duration `default:"5s" help:"Longest wait, after that, for requests in flight."`

	Channels       program.Document `placeholder:"FILE|JSON" help:"HTTP channels, as a list: here as JSON or the path of a YAML file, in the configuration file in place. The keys zato/<cluster>/channels/<name> in Consul add to them and replace those of their name."`
	ServiceTimeout time.Duration    `default:"25s" help:"Longest wait for a service, where its channel has no timeout_ms; later is answered with 503, a connector with 504. Best below the load balancer's --server-timeout."`

	MaxHeaderBytes int           `default:"16384" help:"Largest request line and headers; more is answered with 431."`
	MaxBodyBytes   int           `default:"10485760" help:"Largest request body; more is answered with 413."`
	MaxConnections int           `default:"8192" help:"Most open connections; more get 503."`
	MaxConcurrency int           `default:"4096" help:"Most requests to channels in hand at a time; more get 503 with Retry-After."`
	ReadTimeout    time.Duration `default:"30s" help:"Longest wait for a whole request from its first byte; later is answered with 408."`
	WriteTimeout   time.Duration `default:"60s" help:"Longest wait for a client to take its response."`
	IdleTimeout    time.Duration `default:"90s" help:"Longest wait for the next request of a connection; longer than the load balancer keeps one."`

	LogRequests int           `default:"0" help:"Log one of so many requests; 1 for each, 0 for none."`
	SlowRequest time.Duration `default:"5s" help:"Log each request that took longer; 0 for none."`

	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"OpenTelemetry collector, like http://127.0.0.1:4318, that gets a span of each call of a service, by OTLP over HTTP. Default: none."`

	InvokeTokenFile  string           `placeholder:"FILE" help:"File with the token that connectors must have to call services at /zato/invoke/<service>; another one in it counts at once, and the one before for a minute more. Without token and --invoke-listen that path is not there."`
	InvokeToken      string           `placeholder:"TOKEN" help:"The token itself; others see a command line, so give it by the environment variable."`
	InvokeListen     program.HostPort `placeholder:"HOST:PORT" help:"Address for the calls of connectors, which are then nowhere else."`
	ConnectorService string           `default:"zato-connectorhost" help:"Consul service of the connector hosts, by which services send messages to brokers; they are shown the token of invocations."`
	RememberMessages int              `default:"10000" help:"Most messages of connectors that are remembered, so that one that comes again is answered and not run again."`
	RememberFor      time.Duration    `default:"10m" help:"How long they are remembered."`

	program.Common

	services *service.Registry
	handlers map[string]front.Handler // that channels may name in place of services
}

const rememberedBytes = 32 << 20 // of the answers to messages

// Validate is kong's hook. It reports every fault.
func (s *settings) Validate() error {
	var faults []error
	for _, name := range []struct{ flag, value string }{{"service", s.Service}, {"cluster", s.Cluster}, {"id", s.ID}, {"connector-service", s.ConnectorService}} {
		if !program.ValidName(name.value) && (name.flag != "id" || name.value != "") {
			faults = append(faults, fmt.Errorf("--%s: %q: %s", name.flag, name.value, program.NameRule))
		}
	}
	for _, tag := range s.Tags {
		if strings.TrimSpace(tag) == "" {
			faults = append(faults, fmt.Errorf("--tags: %q: must be text, parted by single commas", tag))
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
	return errors.Join(append(faults, s.limitFaults()...)...)
}

func (s *settings) limitFaults() (faults []error) {
	for _, limit := range []struct {
		flag         string
		value, least int
	}{
		{"max-header-bytes", s.MaxHeaderBytes, 1024},
		{"max-body-bytes", s.MaxBodyBytes, 1},
		{"max-connections", s.MaxConnections, 1},
		{"max-concurrency", s.MaxConcurrency, 1},
		{"log-requests", s.LogRequests, 0},
		{"remember-messages", s.RememberMessages, 0},
	} {
		if limit.value < limit.least {
			faults = append(faults, fmt.Errorf("--%s: %d: must be at least %d", limit.flag, limit.value, limit.least))
		}
	}
	for _, limit := range []struct {
		flag  string
		value time.Duration
		zero  bool
	}{
		{"service-timeout", s.ServiceTimeout, false},
		{"read-timeout", s.ReadTimeout, false},
		{"write-timeout", s.WriteTimeout, false},
		{"idle-timeout", s.IdleTimeout, false},
		{"slow-request", s.SlowRequest, true},
		{"remember-for", s.RememberFor, true},
	} {
		if limit.value < 0 || limit.value == 0 && !limit.zero {
			faults = append(faults, fmt.Errorf("--%s: %v: must be positive", limit.flag, limit.value))
		}
	}
	return faults
}

func (s *settings) limits() front.Limits {
	return front.Limits{
		HeaderBytes: s.MaxHeaderBytes, BodyBytes: s.MaxBodyBytes, Connections: s.MaxConnections, Concurrency: s.MaxConcurrency,
		ReadTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout,
	}
}

func (s *settings) listenForInvocations() (net.Listener, error) {
	if s.InvokeListen == "" {
		return nil, nil
	}
	return program.Listen("--invoke-listen", s.InvokeListen)
}
