package outgoing

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/connectorhost/zmtp"
	"zatoha/server/service"
)

// metrics count what is sent. It is the collector of what the ZeroMQ sockets count themselves, too.
type metrics struct {
	set      *Set
	messages *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	retries  *prometheus.CounterVec
}

var (
	peersMetric   = prometheus.NewDesc("zato_server_outgoing_zmq_peers", "ZeroMQ peers that are connected, by connection.", []string{"name"}, nil)
	droppedMetric = prometheus.NewDesc("zato_server_outgoing_zmq_dropped_total",
		"Copies of published messages that subscribers had no room for, by connection.", []string{"name"}, nil)
	unheardMetric = prometheus.NewDesc("zato_server_outgoing_zmq_unheard_total",
		"Published messages that nobody had subscribed to, by connection.", []string{"name"}, nil)
	refusedMetric = prometheus.NewDesc("zato_server_outgoing_zmq_refused_definitions",
		"Definitions of outgoing ZeroMQ connections whose newest version is not in force.", nil, nil)
)

func newMetrics(registry *prometheus.Registry, set *Set) *metrics {
	m := &metrics{
		set: set,
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_outgoing_messages_total",
			Help: "Messages that services sent, by connection and result (sent, unconfirmed, or the kind of error).",
		}, []string{"kind", "name", "result"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "zato_server_outgoing_duration_seconds",
			Help:    "Time until the fate of a message was known, by kind of connection.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "zato_server_outgoing_in_flight", Help: "Messages that are being sent now, by kind of connection.",
		}, []string{"kind"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_outgoing_retries_total", Help: "Tries with a connector host that decided nothing, by kind of connection.",
		}, []string{"kind"}),
	}
	if registry != nil {
		registry.MustRegister(m.messages, m.latency, m.inFlight, m.retries, m)
	}
	return m
}

func (m *metrics) begin(kind string) (end func()) {
	gauge := m.inFlight.WithLabelValues(kind)
	gauge.Inc()
	return gauge.Dec
}

// sent counts. A connection that there is not has no label of its own: services could make up any number of names.
func (m *metrics) sent(kind, name string, err error, took time.Duration) {
	result := "sent"
	var failure *service.Error
	switch {
	case err == nil:
	case errors.As(err, &failure) && strings.HasPrefix(failure.Details, "there is no outgoing"):
		name, result = "unknown", "unknown"
	case strings.Contains(err.Error(), "not confirmed"):
		result = "unconfirmed"
	case failure != nil:
		result = failure.Kind.String()
	}
	m.messages.WithLabelValues(kind, name, result).Inc()
	m.latency.WithLabelValues(kind).Observe(took.Seconds())
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	to <- peersMetric
	to <- droppedMetric
	to <- unheardMetric
	to <- refusedMetric
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.set.mu.RLock()
	stats := map[string]zmtp.Stats{}
	for name, socket := range m.set.sockets {
		stats[name] = socket.stats()
	}
	refused := len(m.set.refused)
	m.set.mu.RUnlock()
	to <- prometheus.MustNewConstMetric(refusedMetric, prometheus.GaugeValue, float64(refused))
	for name, s := range stats {
		to <- prometheus.MustNewConstMetric(peersMetric, prometheus.GaugeValue, float64(s.Peers), name)
		to <- prometheus.MustNewConstMetric(droppedMetric, prometheus.CounterValue, float64(s.Dropped), name)
		to <- prometheus.MustNewConstMetric(unheardMetric, prometheus.CounterValue, float64(s.Unheard), name)
	}
}
