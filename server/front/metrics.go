package front

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/server/service"
)

// The classes of paths besides the routes' patterns. A path itself is never a label: clients can make up any number.
const (
	unknownPath = "unknown"
	unreadable  = "unreadable"
)

type metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	inFlight prometheus.Gauge

	calls        *prometheus.CounterVec
	callLatency  *prometheus.HistogramVec
	callInFlight *prometheus.GaugeVec
	overdue      prometheus.Counter
	busy         prometheus.Counter
	invocations  *prometheus.CounterVec
}

var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(registry *prometheus.Registry, f *Front) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_requests_total",
			Help: "Requests answered, by route (unknown: no such path; unreadable: no valid request) and HTTP status.",
		}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "zato_server_request_duration_seconds",
			Help:    "Time from the request having been read to its response being ready to send, by route.",
			Buckets: buckets,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "zato_server_requests_in_flight",
			Help: "Requests that are being answered now.",
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_service_calls_total",
			Help: "Calls of services that are over, by service, channel and outcome (ok, or the kind of error).",
		}, []string{"service", "channel", "outcome"}),
		callLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "zato_server_service_duration_seconds",
			Help:    "Time that services took, by service and channel.",
			Buckets: buckets,
		}, []string{"service", "channel"}),
		callInFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "zato_server_service_in_flight",
			Help: "Calls of services that are not over, by service and channel.",
		}, []string{"service", "channel"}),
		overdue: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zato_server_services_overdue_total",
			Help: "Calls that were answered with a time-out while the service went on.",
		}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zato_server_requests_refused_busy_total",
			Help: "Requests refused because there were too many in hand.",
		}),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_invocations_total",
			Help: "Messages that connectors sent, by what became of them (run, duplicate, stale: of a host whose time is over, deferred: answered with 503, refused).",
		}, []string{"what"}),
	}
	for _, what := range []string{"run", "duplicate", "stale", "deferred", "refused"} {
		m.invocations.WithLabelValues(what) // from 0: to an alarm, what begins with 1 has never risen
	}
	registry.MustRegister(m.requests, m.latency, m.inFlight, m.calls, m.callLatency, m.callInFlight, m.overdue, m.busy, m.invocations,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "zato_server_requests_in_hand",
			Help: "Requests that count towards the limit of concurrency, overdue services among them.",
		}, func() float64 { return float64(f.inHand.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "zato_server_connections_resting",
			Help: "Open connections that are idle and have given their buffers back.",
		}, func() float64 { return float64(f.resting.count()) }))
	return m
}

// callMetrics are the metrics of one route, found once. They are of the route, and of nobody's memory when it is gone.
type callMetrics struct {
	answered prometheus.Counter // with status 200
	latency  prometheus.Observer
	ok       prometheus.Counter
	took     prometheus.Observer
	inFlight prometheus.Gauge
}

// of finds the metrics of a route.
func (m *metrics) of(route *Route) *callMetrics {
	if found := route.counters.Load(); found != nil {
		return found
	}
	name, channel := names(route)
	made := &callMetrics{
		answered: m.requests.WithLabelValues(route.Pattern, "200"),
		latency:  m.latency.WithLabelValues(route.Pattern),
		ok:       m.calls.WithLabelValues(name, channel, "ok"),
		took:     m.callLatency.WithLabelValues(name, channel),
		inFlight: m.callInFlight.WithLabelValues(name, channel),
	}
	route.counters.Store(made)
	return made
}

// names are a route's labels for services: what has no name is known by its pattern.
func names(route *Route) (name, channel string) {
	if route.Name == "" {
		return route.Pattern, route.Channel
	}
	return route.Name, route.Channel
}

// done counts a call that is over; kind -1 is a success.
func (c *callMetrics) done(m *metrics, route *Route, kind service.Kind, took time.Duration) {
	c.inFlight.Dec()
	c.took.Observe(took.Seconds())
	if kind < 0 {
		c.ok.Inc()
		return
	}
	name, channel := names(route)
	m.calls.WithLabelValues(name, channel, strings.ReplaceAll(kind.String(), " ", "_")).Inc()
}

// outcomeKind is the kind of an error, -1 for none.
func outcomeKind(err error) service.Kind {
	if err == nil {
		return -1
	}
	kind, _ := service.Classify(err)
	return kind
}

// observe counts a request that was answered; the route is nil if it had none.
func (m *metrics) observe(class string, route *Route, status int, took time.Duration) {
	if route == nil {
		m.requests.WithLabelValues(class, statusLabel(status)).Inc()
		m.latency.WithLabelValues(class).Observe(took.Seconds())
		return
	}
	counters := m.of(route)
	counters.latency.Observe(took.Seconds())
	if status == 200 {
		counters.answered.Inc()
		return
	}
	m.requests.WithLabelValues(class, statusLabel(status)).Inc()
}

func (m *metrics) forget(channel, pattern string) {
	if channel != "" {
		labels := prometheus.Labels{"channel": channel}
		m.calls.DeletePartialMatch(labels)
		m.callLatency.DeletePartialMatch(labels)
		m.callInFlight.DeletePartialMatch(labels)
	}
	if pattern != "" {
		labels := prometheus.Labels{"route": pattern}
		m.requests.DeletePartialMatch(labels)
		m.latency.DeletePartialMatch(labels)
	}
}

// refused counts what never became a request.
func (m *metrics) refused(status int) {
	m.requests.WithLabelValues(unreadable, statusLabel(status)).Inc()
}

// statusLabel spares the usual status an allocation.
func statusLabel(status int) string {
	if status == 200 {
		return "200"
	}
	return strconv.Itoa(status)
}
