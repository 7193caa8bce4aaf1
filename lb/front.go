package main

import (
	"errors"
	"time"

	"zatoha/deploy/program"
	"zatoha/haproxy"
)

// frontFlags are the settings of HAProxy itself: what it listens to, and how it protects servers and clients.
type frontFlags struct {
	TLSListen     program.HostPort `name:"tls-listen" placeholder:"ADDRESS" help:"Address of the HTTPS front, with HTTP/2. Needs --tls-cert."`
	TLSCert       string           `name:"tls-cert" placeholder:"PATH" help:"PEM file with the certificate, its chain and its key, or a directory of such files, chosen by server name. New contents are taken up as they are written; with --dataplane-url, when HAProxy is reloaded on its machine, where the path is."`
	HTTPSRedirect int              `name:"https-redirect" placeholder:"PORT" help:"Send plain requests to https (308) on this port, as clients see it: mostly 443. The monitor is answered all the same."`
	HSTS          time.Duration    `name:"hsts" placeholder:"DURATION" help:"Tell browsers for how long to ask for nothing but HTTPS, like 8760h."`

	TrustedProxies []haproxy.Network `placeholder:"ADDRESS" help:"Addresses, or ranges like 10.0.9.0/24, of outer load balancers: what they say of the client in X-Forwarded-For and X-Forwarded-Proto is believed, for the rate limit and the log too. From others these headers are replaced."`

	RateLimit haproxy.RateLimit `default:"off" placeholder:"N/PERIOD" help:"Requests that one client address (of IPv6, one /64) may send in a period, like 100/10s; more are answered with 429."`
	AccessLog haproxy.AccessLog `default:"off" placeholder:"TARGET" help:"Log each request as a line of JSON: to a syslog server (address:port or socket path), or to stdout or stderr of HAProxy, which is haproxy.log in the state directory, and nobody rotates that."`
	HidePaths []string          `default:"/metrics,/debug/pprof" placeholder:"PATH" help:"Paths of the servers, each with all below it, that are answered with 404 from outside."`

	MaxConn       int `name:"maxconn" default:"10000" help:"Connections of clients at a time; more wait. Each can take two buffers of memory."`
	ServerMaxConn int `name:"server-maxconn" default:"4000" help:"Requests that one server has at a time, WebSockets included, unless its metadata say maxconn; more wait in the queue. 0 sets no limit."`
	QueueLimit    int `default:"1000" help:"Requests that may wait for a server at a time; more are answered with 503."`
	BufferSize    int `default:"49152" help:"Bytes of a request that are kept, so that it can be sent again if its server dies. HAProxy copies as many for each request, however small it is."`
	Retries       int `default:"3" help:"Further tries of a request whose server dies or does not answer, if repeating it is harmless."`

	RequestTimeout   time.Duration `default:"10s" help:"Time that a client has to send its headers, and as much of its body as the buffer holds."`
	ClientTimeout    time.Duration `default:"30s" help:"Longest silence of a client in the middle of a request or a response."`
	KeepAliveTimeout time.Duration `default:"1m" help:"Longest time that a client's connection stays open without a request."`
	QueueTimeout     time.Duration `default:"5s" help:"Longest time that a request waits for a server."`
	ConnectTimeout   time.Duration `default:"250ms" help:"Longest time that connecting to a server may take."`
	ServerTimeout    time.Duration `default:"30s" help:"Longest time that a server may think."`
	TunnelTimeout    time.Duration `default:"1h" help:"Longest silence of a WebSocket."`

	CheckInterval time.Duration `default:"250ms" help:"Time between two of HAProxy's checks of a server; less while it is in doubt, more while it is down."`
	CheckTimeout  time.Duration `default:"250ms" help:"Longest time that a check may take."`
	SlowStart     time.Duration `name:"slowstart" default:"0s" help:"Time over which a server that comes into rotation gets its full share."`
	HardStop      time.Duration `name:"hard-stop-after" default:"5m" help:"Longest time that connections open at a reload may go on; then it closes them, WebSockets too."`
}

// Validate is kong's hook. It reports every fault.
func (f *frontFlags) Validate() error {
	var o haproxy.Options
	f.apply(&o)
	return errors.Join(o.Validate(), haproxy.CheckRange("--server-maxconn", f.ServerMaxConn, 0, 1_000_000))
}

// apply sets what the flags say. The limit of each server, ServerMaxConn, is not among the options of the whole.
func (f *frontFlags) apply(o *haproxy.Options) {
	o.TLS = haproxy.TLS{
		Bind: string(f.TLSListen), Certificate: f.TLSCert, RedirectPort: f.HTTPSRedirect, HSTS: f.HSTS,
	}
	o.TrustedProxies = f.TrustedProxies
	o.RateLimit, o.AccessLog, o.HidePaths = f.RateLimit, f.AccessLog, f.HidePaths
	o.BufferSize, o.MaxConn, o.QueueLimit, o.Retries = f.BufferSize, f.MaxConn, f.QueueLimit, f.Retries
	o.RequestTimeout, o.ClientTimeout, o.KeepAliveTimeout = f.RequestTimeout, f.ClientTimeout, f.KeepAliveTimeout
	o.QueueTimeout, o.ConnectTimeout = f.QueueTimeout, f.ConnectTimeout
	o.ServerTimeout, o.TunnelTimeout = f.ServerTimeout, f.TunnelTimeout
	o.CheckInterval, o.CheckTimeout = f.CheckInterval, f.CheckTimeout
	o.SlowStart, o.HardStop = f.SlowStart, f.HardStop
}
