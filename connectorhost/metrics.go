package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"zatoha/consul"
)

const space = "zatoha_connectorhost_"

// gauges are made anew of what the host knows, each time that somebody asks.
var (
	activeDesc   = prometheus.NewDesc(space+"active", "1 while this host runs the connectors.", nil, nil)
	epochDesc    = prometheus.NewDesc(space+"epoch", "Epoch of the lease's holder, whichever host that is.", nil, nil)
	heldDesc     = prometheus.NewDesc(space+"lease_held", "1 while some host holds the lease, as last read.", nil, nil)
	failingDesc  = prometheus.NewDesc(space+"lease_failing", "1 while Consul does not do as the lease needs.", nil, nil)
	restDesc     = prometheus.NewDesc(space+"lease_rest_seconds", "Time until the connectors are killed if no beat succeeds.", nil, nil)
	tenuresDesc  = prometheus.NewDesc(space+"tenures_total", "Times that this host took over.", nil, nil)
	refusedDesc  = prometheus.NewDesc(space+"definitions_refused", "Definitions in Consul that are not accepted.", nil, nil)
	definedDesc  = prometheus.NewDesc(space+"definitions", "Definitions in force.", nil, nil)
	stateDesc    = prometheus.NewDesc(space+"connector_state", "1 for the state that the connector is in.", []string{"connector", "kind", "state"}, nil)
	restartsDesc = prometheus.NewDesc(space+"connector_restarts_total", "Times that the connector ended by itself.", []string{"connector"}, nil)
	countersDesc = prometheus.NewDesc(space+"connector_counter", "What the connector counts, since its start.", []string{"connector", "counter"}, nil)
	spareDesc    = prometheus.NewDesc(space+"spare_processes", "Processes that wait for a connector to be started.", nil, nil)
	rememberDesc = prometheus.NewDesc(space+"outgoing_remembered", "Messages of services that are known to be sent, or on their way.", nil, nil)
	descriptions = []*prometheus.Desc{
		activeDesc, epochDesc, heldDesc, failingDesc, restDesc, tenuresDesc, refusedDesc, definedDesc, stateDesc, restartsDesc, countersDesc,
		spareDesc, rememberDesc,
	}
)

// newBeats times the beats of the lease. What matters is how far they stay below 80 % of its TTL.
func newBeats() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: space + "lease_beat_seconds", Help: "Time that a beat of the lease took; the active host's is a write in Consul.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .4, .8, 1.6},
	}, []string{"outcome"})
}

// metrics makes the registry of a host.
func (h *host) metrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{h}, h.beats, h.sends.messages, h.sends.latency, h.sends.learned)
	return registry
}

type collector struct{ host *host }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, description := range descriptions {
		to <- description
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	count := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
	}
	r := c.host.report()
	var until time.Time
	var tenures, defined int
	c.host.view(func() {
		tenures, defined = c.host.tenures, len(c.host.catalog.good)
		if c.host.tenure != nil {
			until = c.host.tenure.Until()
		}
	})
	gauge(activeDesc, one(r.Role == consul.Active))
	gauge(epochDesc, float64(r.Holder.Epoch))
	gauge(heldDesc, one(r.Held))
	gauge(failingDesc, one(r.Error != ""))
	gauge(refusedDesc, float64(len(r.Refused)))
	gauge(definedDesc, float64(defined))
	gauge(spareDesc, float64(c.host.spare()))
	gauge(rememberDesc, float64(c.host.sends.window.len()))
	count(tenuresDesc, float64(tenures))
	if !until.IsZero() {
		gauge(restDesc, max(0, time.Until(until).Seconds()))
	}
	for _, s := range r.Connectors {
		gauge(stateDesc, 1, s.Name, s.Kind, string(s.State))
		count(restartsDesc, float64(s.Restarts), s.Name)
		for name, value := range s.Counters {
			gauge(countersDesc, float64(value), s.Name, name)
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
