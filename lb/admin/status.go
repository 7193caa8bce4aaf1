package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/connectors"
	"zatoha/lb/peers"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// Status is the answer of /status: is it healthy, what changed last, what would break it.
type Status struct {
	Healthy bool      `json:"healthy"` // at least one server can take traffic, and clients can connect
	State   State     `json:"state"`   // the same in a word, and whether it will stay so
	Summary string    `json:"summary"` // the same, and what is wrong, in one line
	Risks   []Risk    `json:"risks"`   // what would break it, the worst first
	Cluster string    `json:"cluster"`
	Service string    `json:"service"` // the balanced service's name in Consul
	Version string    `json:"version"` // the controller's
	Now     time.Time `json:"now"`

	Rotation  []string          `json:"rotation"`    // the instances that take traffic now, by HAProxy's own word
	Own       []string          `json:"own_servers"` // an operator's own server lines in our backend that are up, which take traffic too
	Slots     []Slot            `json:"slots"`       // those that are in use
	Free      int               `json:"slots_free"`
	FreeForS  *float64          `json:"slots_free_for_s,omitempty"` // seconds until none is free, at the last hour's growth; absent if it does not grow
	Refused   []state.Refusal   `json:"refused"`                    // instances that cannot be balanced, and why
	Held      []state.Change    `json:"held"`                       // removals that looked implausible, and were not made
	Parity    state.Parity      `json:"parity"`                     // how far the servers agree on their services
	HAProxy   HAProxy           `json:"haproxy"`
	DataPlane DataPlane         `json:"data_plane"`
	Consul    Consul            `json:"consul"`
	Sync      Sync              `json:"sync"`
	Changes   []reconcile.Entry `json:"changes"`              // the last ones, newest first
	Peers     []peers.Peer      `json:"other_load_balancers"` // of the same cluster
	Exchange  peers.Exchange    `json:"exchange"`             // whether load balancers hear of each other

	// RolledBack is when the settings of HAProxy that the flags have were rolled back, because of which they are not in
	// effect; absent if they are.
	RolledBack time.Time `json:"rolled_back,omitzero"`

	// Certificates are those of the HTTPS front; absent if there is none, or its HAProxy is behind a Data Plane API.
	Certificates []haproxy.Certificate `json:"certificates,omitempty"`

	Connectors *connectors.Report `json:"connectors,omitempty"` // absent if there never was a connector host
}

// State is the cluster's health in a word or two.
type State string

// The states.
const (
	Well   State = "healthy"
	AtRisk State = "at risk" // healthy, but something of [Status.Risks] stands against its staying so
	Down   State = "down"    // no server takes traffic, or nobody can connect
)

// Slot is one slot in use: who sits there, what it should do, and what HAProxy says that it does.
type Slot struct {
	Slot         string     `json:"slot"`
	Instance     string     `json:"instance"`
	Address      string     `json:"address"`
	Mode         state.Mode `json:"mode"`
	Weight       int        `json:"weight"`
	TakesTraffic bool       `json:"takes_traffic"`
	Held         bool       `json:"held"`     // out of rotation because its services are not those of most servers
	StatusS      int64      `json:"status_s"` // seconds since HAProxy's status has been what it is
	haproxy.Traffic
	counters haproxy.Counters // for the metrics
}

// DataPlane is the way to HAProxy.
type DataPlane struct {
	Kind      Kind   `json:"kind"`
	Address   string `json:"address"`   // of haproxy.cfg, or of the Data Plane API
	Reachable bool   `json:"reachable"` // it answers
}

// Kind is by whom HAProxy is run.
type Kind string

// The kinds.
const (
	Embedded Kind = "embedded" // by this controller, on its own machine
	Remote   Kind = "remote"   // by somebody else, behind a Data Plane API
)

// silent says that nothing is known of HAProxy, which may well serve: it is on another machine, and the way is cut.
func (d DataPlane) silent() bool { return d.Kind == Remote && !d.Reachable }

// HAProxy is the process. What its supervisor knows is empty if that is not this controller.
type HAProxy struct {
	Running bool   `json:"running"`         // as far as it answers
	Error   string `json:"error,omitempty"` // why its counters cannot be read
	process.Status
	UptimeS  int64            `json:"worker_uptime_s"`
	Frontend haproxy.Counters `json:"frontend"`
	Backend  haproxy.Counters `json:"backend"`

	Full        bool   `json:"full"`               // it has as many connections as it may have, and more clients wait
	DroppedLogs uint64 `json:"dropped_logs_total"` // lines of the log that it could not write at once; counted since its last reload
}

// Consul is the catalog's side.
type Consul struct {
	reconcile.ConsulReport
	Address string `json:"address"`
	Index   uint64 `json:"index"` // of the last snapshot applied

	// Whole says whether all that Consul says is followed: it answers, and the guard holds nothing back.
	Whole     bool      `json:"followed_whole"`
	LastWhole time.Time `json:"last_followed_whole"` // when that was last so; zero if it is not known
}

// Sync is how well HAProxy follows the catalog.
type Sync struct {
	Last        time.Time       `json:"last"`   // when HAProxy was last seen to be as it should; zero if never
	AgeMS       int64           `json:"age_ms"` // how long ago that was; -1 if never
	Error       string          `json:"error,omitempty"`
	AckError    string          `json:"acknowledgement_error,omitempty"` // why drained servers could not be told that they may go
	Changes     uint64          `json:"changes_total"`
	Drift       reconcile.Drift `json:"drift_total"` // what somebody else had changed, and was set right
	Failures    uint64          `json:"failures_total"`
	Holds       uint64          `json:"guard_holds_total"`
	AckFailures uint64          `json:"acknowledgement_failures_total"`

	// Reloads are counted by reason; a reason that has not come up is not in it.
	Reloads map[haproxy.Reload]uint64 `json:"reloads_total,omitempty"`
}

// status reads everything anew: the loop's report and HAProxy, with its own counters.
func (a *Admin) status(ctx context.Context) Status {
	report, seen := a.loop.Report(), a.plane.Look(ctx)
	s := Status{
		Cluster: a.options.Cluster, Service: a.options.Service, Version: a.options.Version, Now: a.now(),
		Rotation: []string{}, Own: []string{}, Slots: []Slot{}, Refused: list(report.Refused), Held: list(report.Held), Changes: list(report.History),
		DataPlane: seen.DataPlane, Certificates: seen.Certificates, RolledBack: seen.RolledBack,
		HAProxy: HAProxy{
			Running: seen.Running, Status: seen.Process, UptimeS: int64(seen.Stats.Uptime.Seconds()),
			Frontend: seen.Stats.Frontend, Backend: seen.Stats.Backend, Full: seen.Stats.Full, DroppedLogs: seen.Stats.DroppedLogs,
		},
		Consul: Consul{ConsulReport: report.Consul, Address: a.options.Consul, Index: report.Index, Whole: report.Whole(), LastWhole: report.LastWhole},
	}
	s.Sync = newSync(report, s.Now)
	if a.options.Peers != nil {
		report := a.options.Peers()
		s.Peers, s.Exchange = report.Others, report.Exchange
	}
	s.Peers = list(s.Peers)
	if a.options.Connectors != nil {
		s.Connectors = a.options.Connectors()
	}
	if seen.Err != nil {
		s.HAProxy.Error = seen.Err.Error()
	}
	s.seat(report.Pool, seen.Stats.Servers)
	s.differ(report.Parity, report.Pool)
	s.FreeForS = a.growth.freeFor(s.Now, len(s.Slots), s.Free)
	s.judge()
	return s
}

// list is never null in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// seat lists the slots in use, counts the others, and names the servers that are in none.
func (s *Status) seat(pool state.Pool, servers map[string]haproxy.Counters) {
	ours := make(map[string]bool, len(pool.Slots))
	for _, slot := range pool.Slots {
		ours[slot.Name] = true
		if slot.Free() {
			s.Free++
			continue
		}
		now := newSlot(slot, servers[slot.Name])
		if now.TakesTraffic {
			s.Rotation = append(s.Rotation, now.Instance)
		}
		s.Slots = append(s.Slots, now)
	}
	for name, now := range servers {
		if !ours[name] && up(now.Traffic) {
			s.Own = append(s.Own, name)
		}
	}
	slices.Sort(s.Own)
}

// serving is how many servers HAProxy can send traffic to.
func (s *Status) serving() int { return len(s.Rotation) + len(s.Own) }

func newSlot(slot state.Slot, now haproxy.Counters) Slot {
	m := slot.Member
	return Slot{
		Slot: slot.Name, Instance: m.ID, Address: haproxy.Server{Address: m.Address, Port: m.Port}.Endpoint(),
		Mode: m.Mode, Weight: m.Weight, TakesTraffic: TakesTraffic(now.Traffic, m), StatusS: int64(now.InStatus.Seconds()),
		Traffic: now.Traffic, counters: now,
	}
}

func newSync(report reconcile.Report, now time.Time) Sync {
	s := Sync{
		Last: report.LastSync, AgeMS: -1, Error: report.Error, Changes: report.Counters.Changes,
		Drift: report.Counters.Drift, Failures: report.Counters.Failures, Holds: report.Counters.Holds,
		AckError: report.AckError, AckFailures: report.Counters.AckFailures,
		Reloads: report.Counters.Reloads,
	}
	if !s.Last.IsZero() {
		s.AgeMS = max(0, now.Sub(s.Last).Milliseconds())
	}
	return s
}

// TakesTraffic says whether a server gets requests. It follows HAProxy's nbsrv, which decides /zato-lb-alive: up by its
// own checks, and not draining.
func TakesTraffic(now haproxy.Traffic, member state.Member) bool {
	return up(now) && member.Mode == state.Ready && member.Weight > 0
}

func up(now haproxy.Traffic) bool {
	return strings.HasPrefix(now.Status, "UP") || now.Status == "no check"
}

// judge says whether it is healthy, and what stands against its staying so.
func (s *Status) judge() {
	s.Healthy = s.serving() > 0 && !s.closed()
	s.Summary = s.summarize()
	s.Risks = list(s.risks())
	switch {
	case !s.Healthy:
		s.State = Down
	case len(s.Risks) > 0:
		s.State = AtRisk
	default:
		s.State = Well
	}
}

// Headline is how many servers take traffic, and whether nobody can reach them.
func (s *Status) Headline() string {
	line := ""
	switch n := len(s.Rotation); {
	case s.DataPlane.silent():
		line = fmt.Sprintf("none of %d servers is known to take traffic", len(s.Slots))
	case n == 0:
		line = fmt.Sprintf("none of %d servers takes traffic", len(s.Slots))
	case n == 1:
		line = fmt.Sprintf("1 of %d servers takes traffic", len(s.Slots))
	default:
		line = fmt.Sprintf("%d of %d servers take traffic", n, len(s.Slots))
	}
	if s.closed() {
		line = "nobody can connect, while " + line
	}
	if len(s.Own) > 0 {
		line += ", and " + plural(len(s.Own), "server line of your own is", "server lines of your own are") + " up"
	}
	return line
}

// summarize says in one line whether it is healthy, and if not everything is well, what is not.
func (s *Status) summarize() string {
	line := "healthy: " + s.Headline()
	if !s.Healthy {
		line = "DOWN: " + s.Headline()
	}
	var troubles []string
	if s.DataPlane.silent() {
		troubles = append(troubles, "the data plane does not answer, haproxy stays as it was")
	} else if !s.HAProxy.Running {
		troubles = append(troubles, "haproxy is not running")
	}
	if !s.Consul.Reachable {
		troubles = append(troubles, "consul does not answer, servers stay as they were")
	}
	if len(s.Held) > 0 {
		troubles = append(troubles, plural(len(s.Held), "removal is", "removals are")+" held back")
	}
	if len(s.Refused) > 0 {
		troubles = append(troubles, plural(len(s.Refused), "instance", "instances")+" cannot be balanced")
	}
	if n := s.heldForParity(); n > 0 {
		troubles = append(troubles, plural(n, "server is", "servers are")+" held for other services")
	}
	if s.leaderless() {
		troubles = append(troubles, "no connector host is active")
	}
	if s.Sync.Error != "" {
		troubles = append(troubles, "haproxy does not follow: "+s.Sync.Error)
	}
	if len(troubles) > 0 {
		line += "; " + strings.Join(troubles, "; ")
	}
	return line
}
