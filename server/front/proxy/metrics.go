package proxy

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests, repeated prometheus.Counter
	failures           *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, p *Proxy) *metrics {
	m := &metrics{
		requests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zato_server_upstream_requests_total",
			Help: "Requests for the application behind this server.",
		}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zato_server_upstream_repeated_total",
			Help: "Requests sent once more, since the application had closed the connection before they reached it.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_upstream_failures_total",
			Help: "Requests that the application did not answer, or not to the end, by reason.",
		}, []string{"reason"}),
	}
	connections := func(state string, count func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "zato_server_upstream_connections",
			Help:        "Open connections to the application, by state; those of WebSockets are active.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count()) })
	}
	registry.MustRegister(m.requests, m.repeated, m.failures,
		connections("active", func() int { active, _ := p.pool.counts(); return active }),
		connections("idle", func() int { _, idle := p.pool.counts(); return idle }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "zato_server_upstream_up",
			Help: "1 if the application was well when it was asked last.",
		}, func() float64 {
			if p.health.well() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "zato_server_upstream_tunnels",
			Help: "WebSockets, and other connections that left HTTP, through this server.",
		}, func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return float64(len(p.tunnels))
		}),
	)
	return m
}
