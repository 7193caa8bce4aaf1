// Package connectors knows what the connector hosts of the cluster do, for the status page: which of them is active,
// who stands by, and how each connector does.
//
// One case, walked through. Three hosts are registered in Consul as zato-connectorhost; host-2 holds the lease with
// epoch 7. [Watcher.Run] follows the service, reads the lease once a second, and asks host-2 for its /connectors;
// [Watcher.Report] hands out what was learned last, and never waits. host-2 is killed: its check turns critical, the
// lease has no holder, and the report says that no host is active. A second later host-1 has registered as active, which
// Consul tells at once, and the report shows it, with epoch 8. Should host-1 not answer, its connectors are shown as
// Consul's checks know them, and the report says why there is no more.
package connectors

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zatoha/consul"
)

// Report is all that is known of the connector hosts.
type Report struct {
	Hosts      []Host      `json:"hosts"` // by ID
	Lease      Lease       `json:"lease"`
	Connectors []Connector `json:"connectors"`      // by name
	Refused    []Refusal   `json:"refused"`         // definitions that are not accepted
	Error      string      `json:"error,omitempty"` // why the active host's own word is missing
}

// Host is a registered connector host.
type Host struct {
	ID      string        `json:"id"`
	Address string        `json:"address"`
	Version string        `json:"version"`
	Role    Role          `json:"role"`
	Status  consul.Status `json:"status"` // of its lease's check
}

// Role is what a host does.
type Role string

// The roles.
const (
	Active  Role = "active"
	Standby Role = "standby"
	Away    Role = "away" // registered, and not alive
)

// Lease is by which the active host is the only one.
type Lease struct {
	Known bool      `json:"known"` // it was read at least once
	Held  bool      `json:"held"`
	Host  string    `json:"host"` // that holds it, or held it last
	Epoch uint64    `json:"epoch"`
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitempty"` // why it cannot be read now
}

// Connector is one connector and how it does.
type Connector struct {
	Name        string           `json:"name"`
	Kind        string           `json:"kind"`
	Role        string           `json:"role"` // channel or outgoing
	State       string           `json:"state"`
	Why         string           `json:"why,omitempty"`
	Since       time.Time        `json:"since,omitzero"` // of its process
	Restarts    int              `json:"restarts"`       // after it ended by itself
	InFlight    int              `json:"in_flight"`
	LastMessage time.Time        `json:"last_message,omitzero"`
	Counts      map[string]int64 `json:"counts,omitempty"` // since its process began
}

// The states that are told apart here; a host has more.
const (
	running    = "running"
	backingOff = "backing off"
	failed     = "failed"
	fenced     = "fenced"         // a server knows a later epoch than its host's
	blocked    = "blocked"        // connected, but something holds it up
	inServers  = "in the servers" // each of which runs it for itself
)

// Refusal is a definition that is not accepted.
type Refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Kept   bool   `json:"kept"` // the last good one of that name is in force
}

// Well says whether the connector does what it is there for.
func (c Connector) Well() bool { return c.State == running && c.Why == "" || c.State == inServers }

// Failing says whether the connector has ended by itself and is not back.
func (c Connector) Failing() bool {
	return c.State == failed || c.State == backingOff || c.Fenced()
}

// Fenced says whether the connector was refused for its host's epoch. It stays stopped under it.
func (c Connector) Fenced() bool { return c.State == fenced }

// Messages is how many messages it has received, or sent.
func (c Connector) Messages() int64 { return c.Counts["received"] + c.Counts["sent"] }

// Active is the host that holds the lease, if it is registered.
func (r *Report) Active() (Host, bool) {
	i := slices.IndexFunc(r.Hosts, func(h Host) bool { return h.Role == Active })
	if i < 0 {
		return Host{}, false
	}
	return r.Hosts[i], true
}

// Standing counts the hosts of a role.
func (r *Report) Standing(role Role) (n int) {
	for _, h := range r.Hosts {
		if h.Role == role {
			n++
		}
	}
	return n
}

// newHosts are the instances as hosts, by ID, as far as they belong to the cluster.
func newHosts(instances []consul.Instance, cluster string, lease Lease) []Host {
	hosts := []Host{}
	for _, i := range instances {
		if !i.Of(cluster) {
			continue // several clusters may share one Consul
		}
		h := Host{ID: i.ID, Address: i.HostPort(), Version: i.Meta[consul.VersionMeta], Role: Standby, Status: leaseCheck(i)}
		switch {
		case lease.Held && lease.Host == i.ID:
			h.Role = Active
		case h.Status != consul.Passing:
			h.Role = Away
		}
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.ID, b.ID) })
	return hosts
}

// leaseCheck is how a host does by its lease's check. What its connectors' checks say does not count: they may be left
// from a time when it was active.
func leaseCheck(i consul.Instance) consul.Status {
	if i.Status == consul.Maintenance {
		return i.Status
	}
	status := consul.Critical
	for _, c := range i.Checks {
		if strings.HasPrefix(c.ID, consul.LeaseCheckPrefix(i.ID)) && c.Status == consul.Passing {
			status = consul.Passing
		}
	}
	return status
}

// byChecks are the connectors of a host as Consul's checks know them.
func byChecks(i consul.Instance) []Connector {
	all := []Connector{}
	for _, c := range i.Checks {
		name, ok := strings.CutPrefix(c.ID, consul.ConnectorCheckPrefix(i.ID))
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, "~") // behind it is what sets apart names that differ in case alone
		state, why, _ := strings.Cut(c.Output, ": ")
		all = append(all, Connector{Name: name, State: cmp.Or(state, string(c.Status)), Why: why})
	}
	slices.SortFunc(all, byName)
	return all
}

func byName(a, b Connector) int { return cmp.Compare(a.Name, b.Name) }

// answer is what is read of a host's GET /connectors.
type answer struct {
	Connectors []struct {
		Connector
		Counters map[string]int64  `json:"counters"`
		Info     map[string]string `json:"info"`
	} `json:"connectors"`
	InServers []Connector `json:"in_servers"`
	Refused   []Refusal   `json:"refused"`
}

// connectors are those of the answer, by name.
func (a answer) connectors() []Connector {
	all := []Connector{}
	for _, told := range a.Connectors {
		c := told.Connector
		c.Counts, c.Role = told.Counters, cmp.Or(told.Info["role"], c.Role)
		if n, err := strconv.Atoi(told.Info["in_flight"]); err == nil {
			c.InFlight = n
		}
		if at, err := time.Parse(time.RFC3339Nano, told.Info["last_message"]); err == nil {
			c.LastMessage = at
		}
		if c.State == running && told.Info["doing"] == blocked {
			c.State = blocked
		}
		all = append(all, c)
	}
	for _, c := range a.InServers {
		all = append(all, Connector{Name: c.Name, Kind: c.Kind, Role: "outgoing", State: inServers})
	}
	slices.SortFunc(all, byName)
	return all
}
