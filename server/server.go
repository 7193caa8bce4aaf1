// Package server makes a server of services: it answers HTTP requests by calling them and keeps itself registered in
// Consul for as long as it can answer. A team's whole program is
//
//	func main() {
//		services := service.NewRegistry()
//		services.MustAdd("orders.create", service.JSON(create))
//		os.Exit(server.Main(services))
//	}
//
// One case from start to end: `server --listen 127.0.0.1:17011` listens, asks itself for /zato/ping, and registers as
// zato-server-<host>-17011 with an HTTP check, passing from the first moment, so that the load balancer sends it traffic
// at once. At SIGTERM it puts itself into maintenance, which makes the load balancer drain its slot; goes on answering
// until the load balancer acknowledges that in the key zato/main/drained/zato-server-<host>-17011; stops accepting,
// finishes what is in flight, deregisters, and exits with status 0. Without Consul it serves all the same and registers
// when Consul is there; without an acknowledgement it leaves after --drain-timeout.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/front/proxy"
	"zatoha/server/invoke"
	"zatoha/server/outgoing"
	"zatoha/server/service"
	"zatoha/server/tracing"
)

// Main runs a server of these services, nil for the built-in ones alone, until SIGINT, SIGTERM or SIGHUP, and returns
// the exit status for os.Exit. The command line, the environment and the configuration file have the settings: see
// --help.
func Main(services *service.Registry) int {
	const description = "Runs services behind the load balancer and keeps itself registered in Consul."
	if services == nil {
		services = service.NewRegistry()
	}
	return program.Main("server", description, &settings{services: services})
}

// Run is the program: see the package comment.
func (s *settings) Run(ctx context.Context, log zerolog.Logger) error {
	agent, err := s.Settings.Client(program.Renewed(log, "the token for Consul"))
	if err != nil {
		return program.BadConfig("", err.Error(), "")
	}
	listener, err := program.Listen("--listen", s.Listen)
	if err != nil {
		return err
	}
	return s.serve(ctx, listener, agent, log)
}

// serve puts the parts together and lets them live until ctx ends. It closes the listener.
func (s *settings) serve(ctx context.Context, listener net.Listener, agent agent, log zerolog.Logger) error {
	built, err := s.build(listener.Addr(), log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	private, err := s.listenForInvocations()
	if err != nil {
		return errors.Join(err, listener.Close(), built.close())
	}
	registration, log := built.registration, built.log
	if built.application != nil && built.application.Ready(ctx) != nil {
		registration.Check.InitialStatus = consul.Critical
	}
	log.Info().Stringer("listen", listener.Addr()).Str("check", registration.Check.URL).
		Str("version", registration.Meta[consul.VersionMeta]).Strs("services", s.services.Names()).
		Str("channels", registration.Meta[consul.ChannelsMeta]).Msg("listening")
	lived := life{
		front:       built.front,
		listener:    listener,
		invocations: private,
		watches: []func(context.Context){
			func(ctx context.Context) { built.channels.follow(ctx, agent, consul.ChannelsPrefix(s.Cluster)) },
			func(ctx context.Context) { built.epoch.follow(ctx, agent, s.Cluster, built.log) },
			func(ctx context.Context) { built.outgoing.Follow(ctx, agent, s.ConnectorService, s.Cluster) },
			built.token.Follow,
			func(ctx context.Context) {
				built.outgoing.FollowDefinitions(ctx, agent, consul.ConnectorsPrefix(s.Cluster))
			},
		},
		informed: built.channels.read,
		member: &membership{
			agent: agent, registration: registration, ackKey: consul.DrainedKey(s.Cluster, registration.ID), log: log,
			changed: built.channels.changed, meta: func() map[string]string { return s.meta(built.channels.active()) },
		},
		attend:        func(ctx context.Context, alive func(context.Context) error) { program.Attend(ctx, log, alive) },
		drainTimeout:  s.DrainTimeout,
		finishTimeout: s.FinishTimeout,
		log:           log,
	}.run(ctx)
	if err := built.close(); err != nil {
		log.Warn().Err(err).Msg("not everything is sent")
	}
	return lived
}

// parts are what a server consists of before it lives.
type parts struct {
	front        *front.Front
	channels     *channels
	application  *proxy.Proxy // nil if there is none
	outgoing     *outgoing.Set
	epoch        *epoch
	token        *program.SharedToken // what connectors and servers show each other; nil if there is none
	registration consul.Registration
	flush        func() // sends what is not sent yet; for when the server has stopped
	log          zerolog.Logger
}

// close ends what the server has beside its life. What its services have sent gets a moment to go out.
func (p *parts) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), sendOutTimeout)
	defer cancel()
	err := p.outgoing.Close(ctx)
	p.flush()
	return err
}

// build makes what a server consists of. A fault is one of the settings.
func (s *settings) build(listening net.Addr, log zerolog.Logger) (*parts, error) {
	token, err := program.GivenToken("--invoke-token", s.InvokeToken, s.InvokeTokenFile, program.Renewed(log, "the token of invocations"))
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	application, err := s.application(registry, log)
	if err != nil {
		return nil, err
	}
	channels, err := s.configured(application)
	if err != nil {
		return nil, err
	}
	registration, err := s.registration(listening, channels.active())
	if err != nil {
		return nil, err
	}
	channels.log = log.With().Str("id", registration.ID).Logger()
	registry.MustRegister(channels.collectors()...)
	built := &parts{
		channels: channels, application: application, epoch: newEpoch(), token: token, registration: registration, log: channels.log, flush: func() {},
	}
	options, err := s.tracing(built, registry)
	if err != nil {
		return nil, err
	}
	built.outgoing = outgoing.New(outgoing.Config{
		Token: token.Shown, Registry: registry, Log: slog.New(zerolog.NewSlogHandler(built.log)),
	})
	options = append(options,
		front.WithOutgoing(built.outgoing),
		front.WithApplication(application),
		front.WithRequestLog(front.RequestLog{Every: s.LogRequests, Slow: s.SlowRequest}),
		front.WithInvocations(s.invocations(built)),
	)
	built.front = front.New(channels.router, s.limits(), registry, built.log, options...)
	channels.forget = built.front.Forget
	built.front.Require("channels", channels.informed)
	if application != nil {
		built.front.Require(proxyService, application.Known)
	}
	return built, nil
}

// configured are the channels that the settings define, beside the ping.
func (s *settings) configured(application *proxy.Proxy) (*channels, error) {
	router := &front.Live{}
	ping, _ := s.services.Lookup(pingService)
	route := &front.Route{Pattern: pingPath, Service: ifReady(application, ping), Name: pingService}
	if err := router.Fixed.AddRoute(pingPath, route, "GET", "POST"); err != nil {
		return nil, err
	}
	channels := &channels{
		services: s.services, handlers: s.handlers, router: router, secrets: secrets{os.LookupEnv}, timeout: s.ServiceTimeout,
		changed: make(chan struct{}, 1), read: make(chan struct{}), log: zerolog.Nop(), // its first faults end the program
	}
	return channels, channels.configure(s.Channels)
}

// invocations are how connectors call services, which they may where there is a token, or a listener of their own.
func (s *settings) invocations(built *parts) *front.Invocations {
	invocations := &front.Invocations{
		Services: s.services, Fence: &built.epoch.fence, Informed: built.epoch.known, Timeout: s.ServiceTimeout,
		Window: invoke.NewWindow[service.Response](invoke.Bounds{
			Messages: s.RememberMessages, Bytes: rememberedBytes, Age: s.RememberFor,
		}),
		Private: s.InvokeListen != "",
	}
	if built.token != nil {
		invocations.Accepts = built.token.Accepts
	}
	return invocations
}

// tracing makes a tracer if there is a collector.
func (s *settings) tracing(built *parts, registry *prometheus.Registry) ([]front.Option, error) {
	if s.OTLPEndpoint == "" {
		return nil, nil
	}
	tracer, err := tracing.New(s.OTLPEndpoint, tracing.Resource{
		Service: s.Service, Version: program.Version(), Instance: built.registration.ID,
	}, registry, built.log)
	if err != nil {
		return nil, program.BadConfig("--otlp-endpoint", err.Error(), "")
	}
	built.flush = tracer.Close
	return []front.Option{front.WithTracer(tracer)}, nil
}
