package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// Status is the answer of /status: is it healthy, what changed last, what is held back.
type Status struct {
	Healthy bool      `json:"healthy"` // at least one server can take traffic
	Summary string    `json:"summary"` // the same, and what is wrong, in one line
	Cluster string    `json:"cluster"`
	Service string    `json:"service"` // the balanced service's name in Consul
	Now     time.Time `json:"now"`

	Rotation []string          `json:"rotation"` // the instances that take traffic now, by HAProxy's own word
	Slots    []Slot            `json:"slots"`    // those that are in use
	Free     int               `json:"slots_free"`
	Refused  []state.Refusal   `json:"refused"` // instances that cannot be balanced, and why
	Held     []state.Change    `json:"held"`    // removals that looked implausible, and were not made
	HAProxy  HAProxy           `json:"haproxy"`
	Consul   Consul            `json:"consul"`
	Sync     Sync              `json:"sync"`
	Changes  []reconcile.Entry `json:"changes"` // the last ones, newest first
}

// Slot is one slot in use: who sits there, what it should do, and what HAProxy says that it does.
type Slot struct {
	Slot     string     `json:"slot"`
	Instance string     `json:"instance"`
	Address  string     `json:"address"`
	Mode     state.Mode `json:"mode"`
	Weight   int        `json:"weight"`
	haproxy.Traffic
}

// HAProxy is the supervised process.
type HAProxy struct {
	Running bool   `json:"running"`
	Error   string `json:"error,omitempty"` // why its counters cannot be read
	process.Status
}

// Consul is the catalog's side.
type Consul struct {
	reconcile.ConsulReport
	Address string `json:"address"`
	Index   uint64 `json:"index"` // of the last snapshot applied
}

// Sync is how well HAProxy follows the catalog.
type Sync struct {
	Last     time.Time         `json:"last"`   // when HAProxy was last seen to be as it should; zero if never
	AgeMS    int64             `json:"age_ms"` // how long ago that was; -1 if never
	Error    string            `json:"error,omitempty"`
	Changes  uint64            `json:"changes_total"`
	Repairs  uint64            `json:"repairs_total"`
	Failures uint64            `json:"failures_total"`
	Holds    uint64            `json:"guard_holds_total"`
	Reloads  map[string]uint64 `json:"reloads_total,omitempty"`
}

// status reads everything anew: the loop's report, the process, and HAProxy's own counters.
func (a *Admin) status(ctx context.Context) Status {
	report, running := a.loop.Report(), a.process.Status()
	s := Status{
		Cluster: a.options.Cluster, Service: a.options.Service, Now: time.Now(),
		Rotation: []string{}, Slots: []Slot{}, Refused: list(report.Refused), Held: list(report.Held), Changes: list(report.History),
		HAProxy: HAProxy{Running: running.Master != 0, Status: running},
		Consul:  Consul{ConsulReport: report.Consul, Address: a.options.Consul, Index: report.Index},
		Sync:    newSync(report),
	}
	traffic, err := a.plane.Traffic(ctx)
	if err != nil {
		s.HAProxy.Error = err.Error()
	}
	for _, slot := range report.Pool.Slots {
		if slot.Free() {
			s.Free++
			continue
		}
		now := traffic[slot.Name]
		if takesTraffic(now, slot.Member) {
			s.Rotation = append(s.Rotation, slot.Member.ID)
		}
		s.Slots = append(s.Slots, newSlot(slot, now))
	}
	s.Healthy = len(s.Rotation) > 0
	s.Summary = s.summarize()
	return s
}

// list is never null in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func newSlot(slot state.Slot, now haproxy.Traffic) Slot {
	m := slot.Member
	return Slot{
		Slot: slot.Name, Instance: m.ID, Address: haproxy.Server{Address: m.Address, Port: m.Port}.Endpoint(),
		Mode: m.Mode, Weight: m.Weight, Traffic: now,
	}
}

func newSync(report reconcile.Report) Sync {
	s := Sync{
		Last: report.LastSync, AgeMS: -1, Error: report.Error, Changes: report.Counters.Changes,
		Repairs: report.Counters.Repairs, Failures: report.Counters.Failures, Holds: report.Counters.Holds,
		Reloads: report.Counters.Reloads,
	}
	if !s.Last.IsZero() {
		s.AgeMS = time.Since(s.Last).Milliseconds()
	}
	return s
}

// takesTraffic follows HAProxy's nbsrv, which decides /zato-lb-alive: up by its own checks, and not draining.
func takesTraffic(now haproxy.Traffic, member state.Member) bool {
	up := strings.HasPrefix(now.Status, "UP") || now.Status == "no check"
	return up && member.Mode == state.Ready && member.Weight > 0
}

// summarize says in one line whether it is healthy, and if not everything is well, what is not.
func (s *Status) summarize() string {
	line := fmt.Sprintf("healthy: %d of %d servers take traffic", len(s.Rotation), len(s.Slots))
	if !s.Healthy {
		line = fmt.Sprintf("DOWN: none of %d servers takes traffic", len(s.Slots))
	}
	var troubles []string
	if !s.HAProxy.Running {
		troubles = append(troubles, "haproxy is not running")
	}
	if !s.Consul.Reachable {
		troubles = append(troubles, "consul does not answer, servers stay as they were")
	}
	if len(s.Held) > 0 {
		troubles = append(troubles, fmt.Sprintf("%d removals are held back", len(s.Held)))
	}
	if len(s.Refused) > 0 {
		troubles = append(troubles, fmt.Sprintf("%d instances cannot be balanced", len(s.Refused)))
	}
	if s.Sync.Error != "" {
		troubles = append(troubles, "haproxy does not follow: "+s.Sync.Error)
	}
	if len(troubles) > 0 {
		line += "; " + strings.Join(troubles, "; ")
	}
	return line
}
