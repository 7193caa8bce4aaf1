package admin

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/lb/state"
)

// collector shows the status as metrics. It keeps nothing: each scrape reads the same report as the status page.
type collector struct{ admin *Admin }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zatoha_lb_"+name, help, labels, nil)
}

var (
	descBuild    = desc("build_info", "Always 1; the label is the controller's version.", "version")
	descSlots    = desc("slots", "Slots of the backend, by whether an instance sits there.", "use")
	descServers  = desc("servers", "Instances by what the pool wants of them.", "mode")
	descRotation = desc("servers_in_rotation", "Instances that HAProxy sends traffic to.")
	descRefused  = desc("servers_refused", "Registered instances that cannot be balanced.")
	descHeld     = desc("guard_held", "Removals that are held back as implausible.")
	descConsul   = desc("consul_up", "1 while Consul answers.")
	descIndex    = desc("consul_index", "Consul's index of the last snapshot applied.")
	descSync     = desc("last_sync_timestamp_seconds", "When HAProxy was last seen to follow the catalog, since 1970.")
	descInSync   = desc("in_sync", "1 if HAProxy followed the catalog when last compared.")
	descHAProxy  = desc("haproxy_up", "1 while HAProxy runs.")
	descRestarts = desc("haproxy_restarts_total", "Times that HAProxy died and was started again.")
	descReloads  = desc("haproxy_reloads_total", "Reloads of HAProxy, by reason.", "reason")
	descChanges  = desc("changes_total", "Slots changed because the catalog said so.")
	descRepairs  = desc("repairs_total", "Running servers set right that nobody had planned to change.")
	descFailures = desc("failures_total", "Rounds of the reconciler that failed.")
	descHolds    = desc("guard_holds_total", "Snapshots of which the guard held something back.")
)

// Describe sends nothing, which makes this an unchecked collector: the labels depend on the state.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads one status and shows it.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	s := c.admin.status(ctx)
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	count := func(desc *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(descBuild, 1, c.admin.options.Version)
	gauge(descSlots, float64(len(s.Slots)), "used")
	gauge(descSlots, float64(s.Free), "free")
	for mode, n := range modes(s.Slots) {
		gauge(descServers, float64(n), string(mode))
	}
	gauge(descRotation, float64(len(s.Rotation)))
	gauge(descRefused, float64(len(s.Refused)))
	gauge(descHeld, float64(len(s.Held)))
	gauge(descConsul, truth(s.Consul.Reachable))
	gauge(descIndex, float64(s.Consul.Index))
	gauge(descSync, seconds(s.Sync.Last))
	gauge(descInSync, truth(s.Sync.Error == "" && !s.Sync.Last.IsZero()))
	gauge(descHAProxy, truth(s.HAProxy.Running))
	count(descRestarts, uint64(s.HAProxy.Restarts))
	for reason, n := range s.Sync.Reloads {
		count(descReloads, n, reason)
	}
	count(descChanges, s.Sync.Changes)
	count(descRepairs, s.Sync.Repairs)
	count(descFailures, s.Sync.Failures)
	count(descHolds, s.Sync.Holds)
}

func modes(slots []Slot) map[state.Mode]int {
	count := map[state.Mode]int{state.Ready: 0, state.Drain: 0, state.Out: 0}
	for _, slot := range slots {
		count[slot.Mode]++
	}
	return count
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds since 1970, or 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Propagation measures how long a change takes from Consul's answer to the running HAProxy.
func Propagation(registry *prometheus.Registry) func(time.Duration) {
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "zatoha_lb_propagation_seconds",
		Help:    "From a snapshot of Consul's being seen to the running HAProxy following it.",
		Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
	})
	registry.MustRegister(histogram)
	return func(d time.Duration) { histogram.Observe(d.Seconds()) }
}
