package admin

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"zatoha/haproxy"
)

// Each of HAProxy's counters is passed on for those of the frontend, the backend and the servers that have it.
const (
	ofFrontend = 1 << iota
	ofBackend
	ofServer
)

// passed is a counter or gauge of HAProxy's that is passed on as it is.
type passed struct {
	of   int
	kind prometheus.ValueType
	name string
	help string
	read func(haproxy.Counters) uint64
}

var passedOn = []passed{
	{ofFrontend | ofBackend | ofServer, prometheus.GaugeValue, "sessions", "Number of sessions open now.", func(c haproxy.Counters) uint64 { return uint64(c.Sessions) }},
	{ofFrontend | ofBackend | ofServer, prometheus.CounterValue, "requests_total", "Requests taken or sent.", func(c haproxy.Counters) uint64 { return c.Requests }},
	{ofFrontend | ofBackend | ofServer, prometheus.CounterValue, "bytes_in_total", "Bytes of requests.", func(c haproxy.Counters) uint64 { return c.BytesIn }},
	{ofFrontend | ofBackend | ofServer, prometheus.CounterValue, "bytes_out_total", "Bytes of answers.", func(c haproxy.Counters) uint64 { return c.BytesOut }},
	{ofFrontend | ofBackend, prometheus.CounterValue, "denied_total", "Requests and answers that a rule forbade.", func(c haproxy.Counters) uint64 { return c.Denied }},
	{ofFrontend, prometheus.CounterValue, "request_errors_total", "Requests that were not HTTP, came too slowly, or broke off.", func(c haproxy.Counters) uint64 { return c.RequestErrors }},
	{ofBackend | ofServer, prometheus.GaugeValue, "queue", "Number of requests that wait for a connection now.", func(c haproxy.Counters) uint64 { return uint64(c.Queue) }},
	{ofBackend | ofServer, prometheus.CounterValue, "retries_total", "Requests tried again.", func(c haproxy.Counters) uint64 { return c.Retries }},
	{ofBackend | ofServer, prometheus.CounterValue, "redispatches_total", "Requests tried again at another server.", func(c haproxy.Counters) uint64 { return c.Redispatches }},
	{ofBackend | ofServer, prometheus.CounterValue, "connection_errors_total", "Connections to servers that failed.", func(c haproxy.Counters) uint64 { return c.ConnectErrors }},
	{ofBackend | ofServer, prometheus.CounterValue, "response_errors_total", "Answers that broke off or were not HTTP.", func(c haproxy.Counters) uint64 { return c.ResponseErrors }},
	{ofServer, prometheus.CounterValue, "check_failures_total", "Health checks that failed.", func(c haproxy.Counters) uint64 { return c.CheckFailures }},
	{ofServer, prometheus.CounterValue, "downs_total", "Times that health checks took it out.", func(c haproxy.Counters) uint64 { return c.Downs }},
}

// exporter shows the counters of one frontend, backend or server.
type exporter struct {
	of        int
	labels    []string           // their names, in order
	descs     []*prometheus.Desc // in the order of passedOn; nil for what it does not have
	responses *prometheus.Desc
	inUse     *prometheus.Desc // servers only
}

var (
	frontendExporter = newExporter(ofFrontend, "haproxy_frontend_", "proxy")
	backendExporter  = newExporter(ofBackend, "haproxy_backend_", "proxy")
	serverExporter   = newExporter(ofServer, "haproxy_server_", "instance", "slot")

	descOpen        = desc("front_open", "1 while HAProxy's front takes connections, 0 while somebody has stopped that; absent while it cannot be asked.")
	descFull        = desc("front_full", "1 while HAProxy has as many connections as it may have, and more clients wait; absent while it cannot be asked.")
	descDroppedLogs = desc("haproxy_dropped_logs_total", "Lines of the log, of requests or HAProxy's own, that it could not write at once."+countedSince+".")
)

// countedSince ends the help of every counter: it is what a reader of a graph stumbles over.
const countedSince = " Counts since HAProxy's last reload"

func newExporter(of int, prefix string, labels ...string) exporter {
	e := exporter{of: of, labels: labels, descs: make([]*prometheus.Desc, len(passedOn))}
	since := countedSince + "."
	if of == ofServer {
		since = countedSince + ", whichever instance had the slot."
		e.inUse = desc(prefix+"up", "1 while HAProxy sends traffic there.", labels...)
	}
	for i, p := range passedOn {
		if p.of&of == 0 {
			continue
		}
		help := p.help
		if p.kind == prometheus.CounterValue {
			help += since
		}
		e.descs[i] = desc(prefix+p.name, help, labels...)
	}
	e.responses = desc(prefix+"responses_total", "Answers by class of status."+since, slices.Concat(labels, []string{"code"})...)
	return e
}

// labelled are the labels with these values.
func (e exporter) labelled(values ...string) labels {
	all := make(labels, len(values))
	for i, value := range values {
		all[i] = label(e.labels[i], value)
	}
	return all
}

// codes are the labels for [haproxy.Responses].
var codes = labels{
	label("code", "other"), label("code", "1xx"), label("code", "2xx"), label("code", "3xx"), label("code", "4xx"), label("code", "5xx"),
}

func (e exporter) export(out chan<- prometheus.Metric, counters haproxy.Counters, labels labels) {
	for i, p := range passedOn {
		if e.descs[i] != nil {
			out <- figure{e.descs[i], p.kind, float64(p.read(counters)), labels}
		}
	}
	for class, n := range counters.Responses {
		out <- figure{e.responses, prometheus.CounterValue, float64(n), slices.Concat(codes[class:class+1], labels)}
	}
}

// exportHAProxy passes on the counters of the frontend, the backend and each slot in use.
func exportHAProxy(out chan<- prometheus.Metric, s Status) {
	if s.HAProxy.Error != "" {
		return // a gap in a graph is the truth, a 0 is not
	}
	out <- prometheus.MustNewConstMetric(descOpen, prometheus.GaugeValue, truth(!s.closed()))
	out <- prometheus.MustNewConstMetric(descFull, prometheus.GaugeValue, truth(s.HAProxy.Full))
	frontendExporter.export(out, s.HAProxy.Frontend, frontendExporter.labelled(haproxy.Frontend))
	backendExporter.export(out, s.HAProxy.Backend, backendExporter.labelled(haproxy.Backend))
	out <- prometheus.MustNewConstMetric(descDroppedLogs, prometheus.CounterValue, float64(s.HAProxy.DroppedLogs))
	for _, slot := range s.Slots {
		// What an instance calls itself need not be text that a label may have.
		labels := serverExporter.labelled(strings.ToValidUTF8(slot.Instance, "\uFFFD"), slot.Slot)
		serverExporter.export(out, slot.counters, labels)
		out <- figure{serverExporter.inUse, prometheus.GaugeValue, truth(slot.TakesTraffic), labels}
	}
}
