package main

import (
	"context"

	"zatoha/deploy/program"
	"zatoha/server/front"
	"zatoha/server/front/proxy"
	"zatoha/server/service"
)

// application is the program behind the server that requests are forwarded to, if there is one.
type application struct{ proxy *proxy.Proxy }

// name makes the forwarding known among the services, so that a server with an application behind it publishes another
// hash than one without.
func (a *application) name(services *service.Registry, s *settings) error {
	if s.ProxyUpstream == "" {
		return nil
	}
	return services.Add("proxy", func(context.Context, service.Request) (service.Response, error) {
		return service.Response{}, service.NewError(service.BadRequest, "the application is reached by HTTP only, at its own paths", nil)
	})
}

// attach makes the front forward what is not the server's own, if the settings name an application.
func (a *application) attach(to *front.Front, s *settings) error {
	if s.ProxyUpstream == "" {
		return nil
	}
	options := proxy.DefaultOptions()
	options.Upstream, options.HealthPath = s.ProxyUpstream, s.ProxyHealthPath
	p, err := to.Forward(options)
	if err != nil {
		return program.BadConfig("--proxy-upstream", err.Error(), "")
	}
	a.proxy = p
	return nil
}

// ifReady lets the ping, which the load balancer and Consul ask for, fail while the application is not well: then this
// server can do nothing for anybody.
func (a *application) ifReady(ping service.Service) service.Service {
	return func(ctx context.Context, request service.Request) (service.Response, error) {
		if a.proxy != nil {
			if err := a.proxy.Ready(ctx); err != nil {
				return service.Response{}, service.NewError(service.Unavailable, "the application behind this server is not ready", err)
			}
		}
		return ping(ctx, request)
	}
}
