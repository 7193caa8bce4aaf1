package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/front/proxy"
	"zatoha/server/service"
)

// proxyService is what the application behind the server is among the services. Channels may name it; what no channel
// takes goes there anyway.
const proxyService = "proxy"

// application is the program behind the server that requests are forwarded to, nil if there is none. It stands among the
// services, so that a server with an application behind it publishes another hash than one without.
func (s *settings) application(registry *prometheus.Registry, log zerolog.Logger) (*proxy.Proxy, error) {
	if s.ProxyUpstream == "" {
		return nil, nil
	}
	err := s.services.Add(proxyService, func(*service.Context, service.Request) (service.Response, error) {
		return service.Response{}, service.NewError(service.BadRequest, "the application is reached by HTTP only", nil)
	})
	if err != nil {
		return nil, program.BadConfig("--proxy-upstream", err.Error(), "")
	}
	options := proxy.DefaultOptions()
	options.Upstream, options.HealthPath = s.ProxyUpstream, s.ProxyHealthPath
	options.Refuse, options.Registry, options.Log = front.Fail, registry, log
	p, err := proxy.New(options)
	if err != nil {
		return nil, program.BadConfig("--proxy-upstream", err.Error(), "")
	}
	s.handlers = map[string]front.Handler{proxyService: p}
	return p, nil
}

// ifReady lets the ping, which the load balancer and Consul ask for, fail while the application is not well: then this
// server can do nothing for anybody.
func ifReady(p *proxy.Proxy, ping service.Service) service.Service {
	if p == nil {
		return ping
	}
	return func(ctx *service.Context, request service.Request) (service.Response, error) {
		if err := p.Ready(ctx); err != nil {
			return service.Response{}, service.NewError(service.Unavailable, "the application behind this server is not ready", err)
		}
		return ping(ctx, request)
	}
}
