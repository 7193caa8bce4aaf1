package front

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_requests_total",
			Help: "Requests answered, by route (unknown: no such path; unreadable: no valid request) and HTTP status.",
		}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "zato_server_request_duration_seconds",
			Help:    "Time from the request having been read to its response being ready to send, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "zato_server_requests_in_flight",
			Help: "Requests that are being answered now.",
		}),
	}
	registry.MustRegister(m.requests, m.latency, m.inFlight)
	return m
}

func (m *metrics) observe(class string, status int, took time.Duration) {
	m.requests.WithLabelValues(class, statusLabel(status)).Inc()
	m.latency.WithLabelValues(class).Observe(took.Seconds())
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
