package admin

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/haproxy"
	"zatoha/lb/state"
)

// collector shows the status as metrics. It keeps nothing: each scrape reads the same report as the status page.
type collector struct{ admin *Admin }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zatoha_lb_"+name, help, labels, nil)
}

var (
	descBuild      = desc("build_info", "Always 1; the label is the controller's version.", "version")
	descSlots      = desc("slots", "Number of slots of the backend, by whether an instance sits there.", "use")
	descFreeFor    = desc("slots_free_for_seconds", "Seconds until no slot is free, which then costs a reload, at the growth of the last hour; +Inf without growth.")
	descServers    = desc("servers", "Number of instances, by what the pool wants of them.", "mode")
	descRotation   = desc("servers_in_rotation", "Number of servers that HAProxy sends traffic to, an operator's own server lines among them; absent while it cannot be asked.")
	descFailing    = desc("servers_failing", "Number of instances that are out of rotation though nobody asked them to be.")
	descRefused    = desc("servers_refused", "Number of registered instances that cannot be balanced.")
	descHeld       = desc("guard_held", "Number of removals that are held back as implausible.")
	descDiffer     = desc("servers_differing", "Number of servers whose services are not those of most, by whether they are held out of rotation for it.", "held")
	descMajority   = desc("services_majority", "1 unless the servers disagree on their services, and no hash is that of most.")
	descConsul     = desc("consul_up", "1 while Consul answers.")
	descCatalogAge = desc("catalog_age_seconds", "Time since Consul answered last; 0 while it answers.")
	descWholeAge   = desc("catalog_followed_age_seconds", "Time since all that Consul said was followed last, nothing held back by the guard; 0 while it is so, +Inf if never.")
	descIndex      = desc("consul_index", "Consul's index of the last snapshot applied.")
	descSync       = desc("last_sync_timestamp_seconds", "Seconds since 1970 when HAProxy was last seen to follow the catalog.")
	descSyncAge    = desc("last_sync_age_seconds", "Seconds since HAProxy was last seen to follow the catalog; +Inf if never.")
	descInSync     = desc("in_sync", "1 if HAProxy followed the catalog when last compared.")
	descHAProxy    = desc("haproxy_up", "1 while HAProxy runs; absent while the Data Plane API does not answer behind which it is.")
	descPlane      = desc("data_plane_up", "1 while the data plane answers: HAProxy's own socket, or a Data Plane API.", "kind")
	descRestarts   = desc("haproxy_restarts_total", "Times that HAProxy died and was started again.")
	descReloads    = desc("haproxy_reloads_total", "Reloads of HAProxy by this controller, by reason.", "reason")
	descChanges    = desc("changes_total", "Slots changed because the catalog said so.")
	descDrift      = desc("drift_total", "What was set right that nobody had planned to change: times that our lines in haproxy.cfg were edited (file); running servers, and times that the front was stopped or HAProxy ran on other lines than ours (runtime).", "where")
	descFailures   = desc("failures_total", "Rounds of the reconciler that failed.")
	descHolds      = desc("guard_holds_total", "Snapshots of which the guard held something back.")
	descAcks       = desc("acknowledgement_failures_total", "Failed attempts to tell drained servers that they may go.")
	descPeer       = desc("peer_diverges", "1 if another load balancer of the cluster sends traffic to other servers than this one.", "peer")
	descRolledBack = desc("rolled_back", "1 while the settings of HAProxy that the flags have are not in effect, as they were rolled back.")
	descWords      = desc("peer_word_failures_total", "Failed attempts to tell the other load balancers of the cluster what was applied (write), and to read what they have applied (read).", "what")
	descSettings   = desc("peer_settings_differ", "1 if another load balancer of the cluster has other settings of HAProxy than this one.", "peer")
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
	gauge(descFreeFor, orInfinite(s.FreeForS))
	for mode, n := range modes(s.Slots) {
		gauge(descServers, float64(n), string(mode))
	}
	if s.HAProxy.Error == "" { // a gap in a graph is the truth, a 0 is not, and raises an alarm
		gauge(descRotation, float64(s.serving()))
	}
	gauge(descFailing, float64(s.failing()))
	gauge(descRefused, float64(len(s.Refused)))
	gauge(descHeld, float64(len(s.Held)))
	gauge(descDiffer, float64(s.heldForParity()), "true")
	gauge(descDiffer, float64(len(s.Parity.Differing)-s.heldForParity()), "false")
	gauge(descMajority, truth(!s.Parity.Split()))
	gauge(descConsul, truth(s.Consul.Reachable))
	gauge(descCatalogAge, catalogAge(s))
	gauge(descWholeAge, wholeAge(s))
	gauge(descIndex, float64(s.Consul.Index))
	gauge(descSync, seconds(s.Sync.Last))
	gauge(descSyncAge, syncAge(s.Sync))
	gauge(descInSync, truth(s.Sync.Error == "" && !s.Sync.Last.IsZero()))
	if !s.DataPlane.silent() {
		gauge(descHAProxy, truth(s.HAProxy.Running))
	}
	gauge(descPlane, truth(s.DataPlane.Reachable), string(s.DataPlane.Kind))
	count(descRestarts, uint64(s.HAProxy.Restarts))
	for _, reason := range haproxy.Reloads() {
		count(descReloads, s.Sync.Reloads[reason], string(reason))
	}
	count(descChanges, s.Sync.Changes)
	count(descDrift, s.Sync.Drift.File, "file")
	count(descDrift, s.Sync.Drift.Runtime, "runtime")
	count(descFailures, s.Sync.Failures)
	count(descHolds, s.Sync.Holds)
	gauge(descRolledBack, truth(!s.RolledBack.IsZero()))
	count(descAcks, s.Sync.AckFailures)
	count(descWords, s.Exchange.WriteFailures, "write")
	count(descWords, s.Exchange.ReadFailures, "read")
	for _, peer := range s.Peers {
		gauge(descPeer, truth(peer.Diverges), peer.ID)
		gauge(descSettings, truth(peer.Differs), peer.ID)
	}
	exportCertificates(gauge, s)
	if s.Connectors != nil {
		exportConnectors(gauge, s)
	}
	exportHAProxy(out, s)
}

func orInfinite(value *float64) float64 {
	if value == nil {
		return math.Inf(1)
	}
	return *value
}

// catalogAge is how old Consul's last answer is, whether or not it is believed.
func catalogAge(s Status) float64 { return age(s.Now, s.Consul.Reachable, s.Consul.Since) }

// wholeAge is how old the set of servers is that is served, if that is not what Consul says now.
func wholeAge(s Status) float64 { return age(s.Now, s.Consul.Whole, s.Consul.LastWhole) }

// age is how long ago something was last so, if it is not so still; infinite if that is not known.
func age(now time.Time, still bool, last time.Time) float64 {
	switch {
	case still:
		return 0
	case last.IsZero():
		return math.Inf(1)
	default:
		return now.Sub(last).Seconds()
	}
}

func syncAge(s Sync) float64 {
	if s.Last.IsZero() {
		return math.Inf(1)
	}
	return float64(s.AgeMS) / 1000
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
		Help:    "Seconds from a snapshot of Consul's being seen to the running HAProxy following it.",
		Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
	})
	registry.MustRegister(histogram)
	return func(d time.Duration) { histogram.Observe(d.Seconds()) }
}
