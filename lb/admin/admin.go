// Package admin is the controller's own HTTP side: the truth about the load balancer for operators and monitors.
//
//	GET /               the status page, for people; it keeps itself up to date
//	GET /status         the same and more, as JSON; see [Status]
//	GET /zato-lb-alive  200 while at least one server can take traffic and clients can connect, else 503, and why
//	GET /metrics        for Prometheus
//	POST /actions/NAME  what an operator may ask for; see [Action]
//
// A probe, walked through: GET /zato-lb-alive reads the loop's report, the supervised process and HAProxy's counters, in
// memory and on a local socket or, if somebody else runs HAProxy, through its Data Plane API, counts the servers that
// HAProxy itself would send traffic to, and answers. It differs from the answer of HAProxy's own monitor under the same
// path in saying also what stands behind the code.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/connectors"
	"zatoha/lb/peers"
	"zatoha/lb/reconcile"
)

// Loop is the reconciler's report.
type Loop interface{ Report() reconcile.Report }

// Plane is the HAProxy that is driven.
type Plane interface {
	// Look says how it is now, within the time that a reader of the status page waits.
	Look(ctx context.Context) Seen
}

// Seen is HAProxy at one moment, as far as its data plane shows it.
type Seen struct {
	DataPlane
	Running bool
	Process process.Status // empty if somebody else supervises it
	Stats   haproxy.Stats
	Err     error // why there are no Stats

	RolledBack time.Time // see [haproxy.Placed]

	Certificates []haproxy.Certificate // of the HTTPS front, as far as this controller keeps them
}

// Options say what is shown beside what is measured.
type Options struct {
	Cluster string
	Service string
	Consul  string // where Consul is looked for
	Version string
	Actions map[string]Action   // what an operator may ask for, by name
	Peers   func() peers.Report // the other load balancers of the cluster; nil if nobody looks for them

	// Connectors tells without waiting what is known of the connector hosts, nil if there never was one. It is nil if nobody
	// looks.
	Connectors func() *connectors.Report
}

// Admin answers the controller's HTTP requests.
type Admin struct {
	options Options
	loop    Loop
	plane   Plane
	log     zerolog.Logger
	metrics http.Handler
	growth  growth
	now     func() time.Time
}

// New makes the handler. Metrics of other packages are in the registry already; ours are added to it.
func New(options Options, loop Loop, plane Plane, registry *prometheus.Registry, log zerolog.Logger) *Admin {
	a := &Admin{options: options, loop: loop, plane: plane, log: log, now: time.Now}
	registry.MustRegister(collector{a})
	a.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errorLog{log}})
	return a
}

// errorLog takes what promhttp has to complain about.
type errorLog struct{ log zerolog.Logger }

func (e errorLog) Println(v ...any) { e.log.Error().Msg(fmt.Sprint(v...)) }

// requestTimeout bounds everything that one request may wait for.
const requestTimeout = 3 * time.Second

// Serve answers on the listener until ctx ends, then finishes what is under way. Meanwhile it remembers how many slots
// are in use, for the forecast.
func (a *Admin) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.growth.watch(ctx, func() int { return a.loop.Report().Pool.Used() })
	}()
	defer func() { cancel(); <-watched }()
	return program.ServeHTTP(ctx, listener, &http.Server{Handler: a.Handler()}, requestTimeout)
}

// Handler routes the requests.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		a.answer(w, http.StatusOK, a.status(r.Context()))
	})
	mux.HandleFunc("GET "+haproxy.AliveURI, a.alive)
	mux.Handle("GET /metrics", a.metrics)
	mux.HandleFunc("GET /{$}", a.page)
	reads := http.TimeoutHandler(mux, requestTimeout, "the load balancer's controller did not answer in time\n")
	all := http.NewServeMux()
	all.Handle("/", reads)
	// No page of somebody else's may have an operator's browser act.
	all.Handle("POST /actions/{name}", http.NewCrossOriginProtection().Handler(http.HandlerFunc(a.act)))
	return strict(all)
}

// Alive is the answer of the deep probe.
type Alive struct {
	Alive     bool      `json:"alive"` // at least one server can take traffic, and clients can connect
	Servers   int       `json:"servers"`
	HAProxy   bool      `json:"haproxy_running"`
	DataPlane bool      `json:"data_plane_reachable"` // if not, what HAProxy does is not known
	Consul    bool      `json:"consul_reachable"`
	LastSync  time.Time `json:"last_sync"` // when HAProxy was last seen to follow the catalog
	SyncAgeMS int64     `json:"last_sync_age_ms"`
	Summary   string    `json:"summary"`
}

func (a *Admin) alive(w http.ResponseWriter, r *http.Request) {
	s := a.status(r.Context())
	code := http.StatusOK
	if !s.Healthy {
		code = http.StatusServiceUnavailable
	}
	a.answer(w, code, Alive{
		Alive: s.Healthy, Servers: s.serving(), HAProxy: s.HAProxy.Running, DataPlane: s.DataPlane.Reachable, Consul: s.Consul.Reachable,
		LastSync: s.Sync.Last, SyncAgeMS: s.Sync.AgeMS, Summary: s.Summary,
	})
}

func (a *Admin) answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		a.log.Debug().Err(err).Msg("the client of the status page has gone")
	}
}
