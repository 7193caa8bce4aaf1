package haproxy

import (
	"strings"
	"time"

	"zatoha/haproxy/edit"
)

// Names of what an outer load balancer has.
const (
	EdgeFrontend = "front_edge"
	EdgeMetrics  = "front_edge_metrics"
	EdgeBackend  = "bck_clusters"
)

// Edge is an outer load balancer, an HAProxy in front of whole clusters, each with load balancers of its own.
//
// One case: the cluster a is gone. Requests on their way to it go on to b, if they may be sent twice, by the rule that
// holds within a cluster; a does not answer [AliveURI], and is out after two checks. When it answers again, without a
// break for ReturnAfter, it gets its share again; if b is its standby, it gets all of them, and b finishes what it has.
type Edge struct {
	// Options are those of the front, and what a request may take. Of clusters they say what those of a load balancer say of
	// servers; SlotMaxConn is the limit of each cluster. ReturnAfter stands for CheckRise.
	Options
	Clusters []Cluster

	// Standby makes the clusters an order: the first gets all requests, the next ones only what those before them cannot
	// take, because they are down, drained, full, or have failed at it. HAProxy's word for that, backup, would keep what may
	// be sent twice away from the standby until the active cluster has been found out, and it would be lost by then.
	Standby bool

	// AdminListen is an address of the runtime API beside StatsSocket, for those on other machines; "" is none. It asks for
	// no password.
	AdminListen string

	// MetricsListen is where HAProxy's own exporter answers Prometheus, at /metrics, without a password; "" is nowhere.
	// HAProxy must have been built with it, as the distributions' are.
	MetricsListen string

	// StateFile is where somebody who watches this HAProxy writes which clusters are drained, and down, so that it still
	// knows after a reload or a restart. The watch also ends the sessions of a cluster that is down, a moment after it went
	// down. If nobody does, for "", HAProxy does it itself, at the very moment: see [Event] for the difference.
	StateFile string

	ReturnAfter time.Duration // for which a cluster must answer before it gets requests again
}

// Cluster is one of those behind an [Edge]. It has one address, that which its load balancers share: a further try must
// not find another load balancer of a cluster that is gone.
type Cluster struct {
	Name    string // also of its server in [EdgeBackend]
	Address string // IP address and port
}

// DefaultEdge fits clusters that have the defaults of [DefaultOptions], and at most two outer load balancers.
func DefaultEdge() Edge {
	e := Edge{Options: DefaultOptions(), ReturnAfter: 2 * time.Second}
	e.StatsSocket = "/run/haproxy/edge.sock"
	e.MetricsListen = "127.0.0.1:11225"
	e.CheckURI = AliveURI
	e.SlotMaxConn = 4000 // two of us leave each cluster's front some of its 10,000 connections, for checks too
	e.Retries = 2        // on another cluster; each one tries its own servers before it gives up
	// 502 and 503 are the words of a cluster that has nobody left. At 504 it has waited long enough for all.
	e.RetryOn = append(e.RetryOn, "502", "503")
	// ConnectTimeout stays short: with but one active cluster left, HAProxy waits as long before it goes on from a
	// connection that was refused.
	e.ServerTimeout = 150 * time.Second
	return e
}

// LongestAnswer is how long a load balancer may take for a request: all its tries, each of which may wait for a server,
// connect, and hear nothing.
func (o Options) LongestAnswer() time.Duration {
	return time.Duration(o.Retries+1) * (o.QueueTimeout + o.ConnectTimeout + o.ServerTimeout)
}

// Sections are our part of the outer haproxy.cfg.
func (e Edge) Sections() []edit.Section {
	global := e.global()
	if e.AdminListen != "" {
		line := edit.Line{Text: "stats socket ipv4@" + e.AdminListen + " level admin", Note: "no password: for the network of operators alone"}
		if strings.HasPrefix(e.AdminListen, "[") {
			line.Text = strings.Replace(line.Text, "ipv4@", "ipv6@", 1)
		}
		global.Lines = append([]edit.Line{line}, global.Lines...)
	}
	if e.StateFile != "" {
		global.Lines = append(global.Lines, edit.Line{Text: "server-state-file " + quote(e.StateFile), Note: "who is drained, written by edge watch"})
	}
	all := []edit.Section{global, e.defaults(), e.front(EdgeFrontend, EdgeBackend)}
	if e.MetricsListen != "" {
		all = append(all, e.metrics())
	}
	return append(all, e.backend())
}

// metrics is a frontend of its own: the front has no path of ours but the monitor's, and operators ask from elsewhere.
func (e Edge) metrics() edit.Section {
	var s lines
	s.add("bind " + e.MetricsListen)
	s.note("maxconn 20", "so that it takes none of the clients' room")
	s.add("http-request deny deny_status 404 unless { path /metrics }")
	s.note("http-request use-service prometheus-exporter", "haproxy -vv says whether it is built in")
	return s.section("frontend " + EdgeMetrics + " from " + Defaults)
}

func (e Edge) backend() edit.Section {
	var s lines
	if e.Standby {
		s.note("balance first", "in the order of the lines, as long as there is room")
	} else {
		s.add("balance roundrobin")
	}
	s = append(s, e.repeating("cluster")...)
	s.add("option httpchk")
	s.add("http-check send meth GET uri " + e.CheckURI + " ver HTTP/1.1 hdr Host " + EdgeBackend)
	s.note("http-check expect status 200", "503 says that no server of the cluster can take requests")
	if e.StateFile != "" {
		s.add("load-server-state-from-file global")
	}
	s.note(e.defaultServer(e.rise()), "back after "+duration(e.ReturnAfter)+" of good checks")
	for _, cluster := range e.Clusters {
		s.add("server " + cluster.Name + " " + cluster.Address)
	}
	return s.section("backend " + EdgeBackend + " from " + Defaults)
}

// defaultServer is that of the options, but for who ends the sessions of what is down.
func (e Edge) defaultServer(rise int) string {
	options := e.Options
	if e.StateFile != "" {
		options.EventSocket = "the watch's"
	}
	return options.defaultServer(rise)
}

// rise is how many good checks make [Edge.ReturnAfter]. They come at the interval of a server in doubt.
func (e Edge) rise() int { return max(2, int(e.ReturnAfter/e.fastInterval())) }
