// Package proxy hands requests on to an application behind the server, so that a program in any language joins the
// cluster with a server beside it.
//
// One case from start to end: a client uploads a file by POST /files. The front found nothing else at that path and
// calls [Proxy.Handle]. The request's head is made anew: the client's headers without those of its connection, the CID,
// and a length or chunks of our own. A connection to the application is taken from the pool, or opened; the head goes
// out, and then the body, as it comes in, a buffer at a time, by a goroutine of its own. Meanwhile we wait for the
// answer and look now and then whether the client is still there. The answer's head becomes the front's response, with
// the CID; its body is passed on as it arrives; and the connection goes back to the pool. Had the application been away,
// the client would have got 502 in the server's envelope; had it not answered in time, 504; had it broken off in the
// middle of its answer, the client's connection would have been cut off there too, for a truncated answer must look like
// one.
//
// A request is never sent twice, but for one case: it is idempotent, has no body, and the connection that it was sent on
// turned out to have been closed by the application meanwhile.
//
// Why not a ready-made client: fasthttp's cannot be cancelled, waits for the end of an upload before it looks at the
// answer, and swallows interim responses and upgrades; net/http's does all that at half of the throughput (see
// BenchmarkProxy). What is parsed is parsed by them: heads by fasthttp, chunks by net/http.
//
// What is not passed on as it is: fasthttp writes its own Date, sends headers in its own order, and answers
// `Expect: 100-continue` itself, so that the application is asked for a body that is coming in any case. A client that
// has closed its sending side counts as gone, as with other proxies. A path with a segment of dots, encoded or not, is
// refused: it is another path to who resolves it than to who does not. So is a head of more than 56 KB, whatever the
// server lets through.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
)

// Options of a proxy. All but those said to be optional must be given: begin with [DefaultOptions].
type Options struct {
	Upstream   string // base URL of the application: http://host[:port][/path]
	HealthPath string // what to ask the application for to know whether it is well; optional: then connecting is enough

	ConnectTimeout  time.Duration // for a connection, also for one to become free
	ResponseTimeout time.Duration // from the end of a request to the head of its response
	BodyTimeout     time.Duration // longest silence in the middle of a body, in either direction
	TunnelTimeout   time.Duration // longest silence of a WebSocket
	IdleTimeout     time.Duration // for an unused connection; shorter than the application's own
	HealthTimeout   time.Duration // for an answer about health; shorter than the load balancer's check waits
	HealthInterval  time.Duration // for which an answer about health holds

	Connections int // to the application at a time, WebSockets included
	HeaderBytes int // of the head of a response

	// Refuse answers a request in the server's form.
	Refuse   func(ctx *fasthttp.RequestCtx, status int, cid, details string)
	Registry prometheus.Registerer
	Log      zerolog.Logger
}

// DefaultOptions fit behind a load balancer as the project configures it, beside an application that closes unused
// connections after two seconds or more, as most do.
func DefaultOptions() Options {
	return Options{
		ConnectTimeout:  time.Second,
		ResponseTimeout: 25 * time.Second,
		BodyTimeout:     time.Minute,
		TunnelTimeout:   time.Hour,
		IdleTimeout:     time.Second,
		HealthTimeout:   200 * time.Millisecond,
		HealthInterval:  time.Second,
		Connections:     4096,
		HeaderBytes:     16 << 10,
	}
}

// Proxy forwards requests to one application. Make it by [New]; it is safe for concurrent use.
type Proxy struct {
	options Options
	prefix  string // of paths at the application
	host    string // of the application
	pool    pool
	health  health
	metrics *metrics
	log     zerolog.Logger

	alive   context.Context // of dialling
	kill    context.CancelFunc
	mu      sync.Mutex
	tunnels map[*tunnel]struct{}
	closed  bool
	ending  sync.WaitGroup // a count for each tunnel
}

// New makes a proxy. Nothing is connected before the first request. Close it in the end.
func New(options Options) (*Proxy, error) {
	upstream, err := parseUpstream(options.Upstream)
	if err != nil {
		return nil, err
	}
	if err := options.validate(); err != nil {
		return nil, err
	}
	p := &Proxy{
		options: options, prefix: strings.TrimSuffix(upstream.EscapedPath(), "/"), host: upstream.Host,
		log: options.Log, tunnels: map[*tunnel]struct{}{},
	}
	p.alive, p.kill = context.WithCancel(context.Background())
	address := upstream.Host
	if upstream.Port() == "" {
		address = net.JoinHostPort(upstream.Hostname(), "80")
	}
	dialer := net.Dialer{Timeout: options.ConnectTimeout}
	p.pool = pool{
		dial:        func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) },
		headerBytes: options.HeaderBytes, wait: options.ConnectTimeout, idleTimeout: options.IdleTimeout,
		slots: make(chan struct{}, options.Connections), open: map[*upstreamConn]struct{}{},
	}
	p.health = health{ask: p.ask, interval: options.HealthInterval, changed: p.logHealth}
	p.metrics = newMetrics(options.Registry, p)
	return p, nil
}

func parseUpstream(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	bad := func(what string) (*url.URL, error) {
		return nil, fmt.Errorf("upstream %q: %s; give a base URL like http://127.0.0.1:8000", text, what)
	}
	switch {
	case err != nil:
		return bad("it is no URL")
	case u.Scheme == "https":
		return bad("only http is spoken to an application, which is to be on the same machine")
	case u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return bad("it must begin with http:// and a host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bad("it must have no user, query or fragment")
	}
	return u, nil
}

// validate reports every fault.
func (o *Options) validate() error {
	var faults []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"connect timeout", o.ConnectTimeout},
		{"response timeout", o.ResponseTimeout},
		{"body timeout", o.BodyTimeout},
		{"tunnel timeout", o.TunnelTimeout},
		{"idle timeout", o.IdleTimeout},
		{"health timeout", o.HealthTimeout},
		{"health interval", o.HealthInterval},
	} {
		if d.value <= 0 {
			faults = append(faults, fmt.Errorf("upstream %s: %v: must be positive", d.name, d.value))
		}
	}
	if o.Connections < 1 {
		faults = append(faults, fmt.Errorf("upstream connections: %d: must be positive", o.Connections))
	}
	if o.HeaderBytes < 1024 {
		faults = append(faults, fmt.Errorf("upstream header bytes: %d: must be at least 1024", o.HeaderBytes))
	}
	if o.HealthPath != "" && (o.HealthPath[0] != '/' || strings.ContainsFunc(o.HealthPath, func(r rune) bool { return r <= ' ' || r > '~' })) {
		faults = append(faults, fmt.Errorf("upstream health path: %q: must begin with / and have no spaces", o.HealthPath))
	}
	if o.Refuse == nil || o.Registry == nil {
		faults = append(faults, errors.New("upstream: Refuse and Registry must be given"))
	}
	return errors.Join(faults...)
}

// Handle forwards one request and makes the response, whose X-Zato-CID is the CID given, whatever becomes of it. The
// server should stream request bodies (fasthttp.Server.StreamRequestBody), or uploads are held in memory. A response
// may be read from the application until after Handle has returned, while the server writes it, and the request's body be
// sent: nobody may touch the bodies after Handle, nor the request's headers.
func (p *Proxy) Handle(ctx *fasthttp.RequestCtx, cid string) {
	p.metrics.requests.Inc()
	if err := p.forward(ctx, cid); err != nil {
		p.refuse(ctx, cid, err)
	}
}

// Close ends everything at once: requests in flight are answered with 503 or broken off, tunnels end. It returns when
// the tunnels have ended. Nothing may be handled after it but with 503.
func (p *Proxy) Close() {
	p.kill()
	p.pool.close()
	p.mu.Lock()
	p.closed = true
	for t := range p.tunnels {
		t.end()
	}
	p.mu.Unlock()
	p.ending.Wait()
}
