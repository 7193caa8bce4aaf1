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
	SSLMinVer     string           `name:"ssl-min-ver" default:"TLSv1.2" help:"Oldest version of TLS that the HTTPS front speaks: TLSv1.2 or TLSv1.3."`
	HTTPSRedirect int              `name:"https-redirect" placeholder:"PORT" help:"Send plain requests to https (308) on this port, as clients see it: mostly 443. The monitor is answered all the same."`
	HSTS          time.Duration    `name:"hsts" placeholder:"DURATION" help:"Tell browsers for how long to ask for nothing but HTTPS, like 8760h."`

	TrustedProxies []haproxy.Network `placeholder:"ADDRESS" help:"Addresses, or ranges like 10.0.9.0/24, of outer load balancers: what they say of the client in X-Forwarded-For and X-Forwarded-Proto is believed, for the rate limit and the log too, and their other X-Forwarded headers and X-Real-IP are passed on. From others these headers are replaced or left out."`

	RateLimit   haproxy.RateLimit `default:"off" placeholder:"N/PERIOD" help:"Requests that one client address (of IPv6, one /64) may send in a period, like 100/10s; more are answered with 429."`
	AccessLog   haproxy.AccessLog `default:"off" placeholder:"TARGET" help:"Log each request as a line of JSON: to a syslog server (address:port or socket path), or to stdout or stderr of HAProxy, which is haproxy.log in the state directory, for a look at them: nobody rotates that, and HAProxy leaves out a line where two of its threads write at once."`
	HeaderNames string            `name:"http-restrict-req-hdr-names" default:"reject" help:"What becomes of header names with other characters than letters, digits and -, which CGI and its like take for others: reject answers 403, delete leaves them out, preserve passes on all but those that pass for X-Forwarded-For and others of that kind, or for X-Real-IP."`

	HidePaths []string `default:"/metrics,/debug/pprof" placeholder:"PATH" help:"Paths of the servers, each with all below it, that are answered with 404 from outside."`

	MaxConn       int `name:"maxconn" default:"10000" help:"Connections of clients at a time; more wait. Each can take two buffers of memory."`
	ServerMaxConn int `name:"server-maxconn" default:"4000" help:"Requests that one server has at a time, WebSockets included, unless its metadata say maxconn; more wait in the queue. 0 sets no limit."`
	QueueLimit    int `default:"1000" help:"Requests that may wait for a server at a time; more are answered with 503."`
	BufferSize    int `default:"49152" help:"Bytes of a request that are kept, so that it can be sent again if its server dies. HAProxy copies as many for each request, however small it is."`

	BufferRequest bool     `name:"http-buffer-request" default:"true" negatable:"" help:"Read as much of a body as the buffer holds before a server is asked. Without, a body streams through at once; a request whose body comes behind its headers is not sent again once a server has begun to get it, and slow bodies keep servers waiting."`
	Retries       int      `default:"3" help:"Further tries of a request that fails as --retry-on says. With 0 nothing is sent again, and nothing is copied for that."`
	RetryOn       []string `default:"conn-failure,empty-response,response-timeout" help:"All failures after which a request is tried again, in HAProxy's words: conn-failure, which has to be there, empty-response, junk-response, response-timeout, or the status of an answer, 401, 403, 404, 408, 425, 500, 501, 502, 503 or 504. After all but conn-failure only if repeating is harmless: idempotent methods, and those with an Idempotency-Key."`

	RequestTimeout   time.Duration `default:"10s" help:"Time that a client has to send its headers, and as much of its body as the buffer holds."`
	ClientTimeout    time.Duration `default:"30s" help:"Longest silence of a client in the middle of a request or a response."`
	KeepAliveTimeout time.Duration `default:"1m" help:"Longest time that a client's connection stays open without a request."`
	QueueTimeout     time.Duration `default:"5s" help:"Longest time that a request waits for a server."`
	ConnectTimeout   time.Duration `default:"250ms" help:"Longest time that connecting to a server may take."`
	ServerTimeout    time.Duration `default:"30s" help:"Longest time that a server may think."`
	TunnelTimeout    time.Duration `default:"1h" help:"Longest silence of a WebSocket."`

	CheckInterval  time.Duration `default:"250ms" help:"Time between two of HAProxy's checks of a server."`
	CheckFastinter time.Duration `default:"0s" help:"The same while a server is in doubt; 0 is a fifth of it."`
	CheckDowninter time.Duration `default:"0s" help:"The same while a server is down; 0 is twice it."`
	CheckTimeout   time.Duration `default:"250ms" help:"Longest time that a check may take."`
	CheckFall      int           `default:"2" help:"Bad checks in a row that take a server out. What only looks dead costs less with more of them, and what is dead costs more."`
	CheckRise      int           `default:"2" help:"Good checks in a row that bring it back."`

	SlowStart time.Duration `name:"slowstart" default:"0s" help:"Time over which a server that comes into rotation gets its full share."`
	HardStop  time.Duration `name:"hard-stop-after" default:"5m" help:"Longest time that connections open at a reload may go on; then it closes them, WebSockets too."`
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
		MinVersion: f.SSLMinVer,
	}
	o.TrustedProxies, o.HeaderNames = f.TrustedProxies, f.HeaderNames
	o.RateLimit, o.AccessLog, o.HidePaths = f.RateLimit, f.AccessLog, f.HidePaths
	o.BufferSize, o.MaxConn, o.QueueLimit = f.BufferSize, f.MaxConn, f.QueueLimit
	o.BufferRequest, o.Retries, o.RetryOn = f.BufferRequest, f.Retries, f.RetryOn
	o.RequestTimeout, o.ClientTimeout, o.KeepAliveTimeout = f.RequestTimeout, f.ClientTimeout, f.KeepAliveTimeout
	o.QueueTimeout, o.ConnectTimeout = f.QueueTimeout, f.ConnectTimeout
	o.ServerTimeout, o.TunnelTimeout = f.ServerTimeout, f.TunnelTimeout
	o.CheckInterval, o.CheckFastInterval, o.CheckDownInterval = f.CheckInterval, f.CheckFastinter, f.CheckDowninter
	o.CheckTimeout, o.CheckFall, o.CheckRise = f.CheckTimeout, f.CheckFall, f.CheckRise
	o.SlowStart, o.HardStop = f.SlowStart, f.HardStop
}
