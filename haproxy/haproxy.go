// Package haproxy says, in HAProxy's own terms, what the load balancer wants of it: which servers a backend has, and
// which lines of haproxy.cfg make the front. It does nothing; the packages below it do:
//
//	edit         puts our sections into haproxy.cfg and leaves every foreign byte as it was (pure)
//	process      keeps one HAProxy in master-worker mode running, adopts it, reloads it
//	rollback     remembers the design that was in use before, and the one that was given up
//	embedded     the data plane of this machine: the file, the runtime socket and the process, together
//	remote       the same through an official Data Plane API, of an HAProxy that somebody else runs
//	conformance  what both data planes must do, as a test
//
// A membership change takes the runtime socket alone ([Server] by [Server], in milliseconds); the file follows, so
// that an HAProxy that starts without us serves what it served last. Only a change of structure reloads.
//
// [Options] are what an operator may choose of the structure. Whoever needs another front writes one into the same
// file, and sends to our backend; below our sections it can have our timeouts and error pages too:
//
//	frontend partner from zatoha
//	    bind 10.0.0.1:8443 ssl crt /etc/partner.pem verify required ca-file /etc/partner-ca.pem
//	    http-request del-header X-Forwarded- -m beg
//	    http-request del-header X-Real-IP
//	    http-request set-header X-Forwarded-For %[src]
//	    http-request set-header X-Forwarded-Proto https
//	    use_backend bck_http_relay if { stopping } { srv_is_up(bck_http_relay/newest) }
//	    default_backend bck_http_plain
//
// The line with the relay keeps its clients from servers that have left after a reload.
//
// An [Edge] is the same for an outer load balancer, which stands before whole clusters.
package haproxy

import (
	"net"
	"strconv"
)

// Names of what we own in HAProxy. They are the contract with operators and their dashboards.
const (
	Frontend = "front_http_plain"
	Backend  = "bck_http_plain"
	Defaults = "zatoha"
)

// Names of what is between an old worker and the present one: see [Options.Sections].
const (
	relayBackend  = "bck_http_relay"
	relayFrontend = "front_http_relay"
)

// AliveURI is the monitor that HAProxy itself answers: 200 while at least one server can take traffic, else 503.
const AliveURI = "/zato-lb-alive"

// YieldVariable is the variable of a running HAProxy that has the address, if any, to which connections are closed behind
// their next answers: see [Options].Yields.
const YieldVariable = "proc.zatoha_yield"

// Admin is the administrative state of a server, as the runtime API takes it.
type Admin string

// The administrative states.
const (
	Ready Admin = "ready" // takes its share
	Drain Admin = "drain" // no new requests, those in flight finish
	Maint Admin = "maint" // nothing, and no health checks
)

// Server is one server line of a backend. One without an address is a free slot: it is always in [Maint].
type Server struct {
	Name    string
	Address string // an IP address, or "" for a free slot
	Port    int
	Weight  int // 0..256
	MaxConn int // requests at a time, the others wait; 0 is no limit
	Admin   Admin
	Note    string // who it is; kept in the file behind our mark

	// Unchecked says of a running server that somebody has switched off its health checks by the runtime socket: it would
	// stay up when it is dead.
	Unchecked bool
}

// Free says whether nobody is behind the server line.
func (s Server) Free() bool { return s.Address == "" }

// Endpoint is the server's address and port, with the brackets that IPv6 wants.
func (s Server) Endpoint() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// Differs says whether a running server has to be changed to become this one. The address of a server that takes no
// traffic does not matter.
func (s Server) Differs(running Server) bool {
	if s.Free() {
		return running.Admin != Maint || running.Unchecked
	}
	return s.Address != running.Address || s.Port != running.Port || s.Weight != running.Weight ||
		s.MaxConn != running.MaxConn || s.Admin != running.Admin || running.Unchecked
}

// Change makes a running server another one.
type Change struct {
	From Server // as it runs
	To   Server // as it shall run
	// Anew says that the program behind it has just been registered. What checks of the one before it have found, or are
	// about to find, is not held against it: it is up until its own fail. The same holds for one that moves. Package
	// remote has no command for that, and leaves it to the checks.
	Anew bool
}

// Moves says whether the server gets another address. That is done in maintenance, so that no request and no health
// check sees half a change; all else is done in place.
func (c Change) Moves() bool {
	return !c.To.Free() && (c.From.Address != c.To.Address || c.From.Port != c.To.Port)
}

// Traffic is what a server is doing now, as HAProxy counts it. The counters restart with each HAProxy worker.
type Traffic struct {
	Status   string `json:"status"`   // HAProxy's own words: UP, DOWN, MAINT, DRAIN, "UP 1/2", "no check"
	Check    string `json:"check"`    // the last health check's result and duration
	Sessions int    `json:"sessions"` // open now
	Rate     int    `json:"rate"`     // sessions in the last second
	Requests uint64 `json:"requests"` // sessions so far
}
