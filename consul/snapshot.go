package consul

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Status is the health of a check, or of an instance by its worst check.
type Status string

// The states that Consul knows. Maintenance is an instance's only, never a check's: it is set by an operator on the
// instance or on its whole node, and outweighs the others.
const (
	Passing     Status = api.HealthPassing
	Warning     Status = api.HealthWarning
	Critical    Status = api.HealthCritical
	Maintenance Status = api.HealthMaint
)

// Snapshot is everything that Consul knew of one service at one moment.
type Snapshot struct {
	Service   string
	Index     uint64     // Consul's index of this state
	Instances []Instance // by node, then ID
}

// Instance is one registered instance of a service.
type Instance struct {
	Node          string
	ID            string // unique on its node only, see Key
	Service       string
	Address       string // the instance's, else its node's; IPv6 without brackets
	Port          int    // 0 when registered without one
	Tags          []string
	Meta          map[string]string
	WeightPassing int
	WeightWarning int
	Status        Status
	Checks        []Check // the instance's and its node's, by ID
}

// Check is one health check of an instance or of its node.
type Check struct {
	ID     string
	Name   string
	Status Status
	Output string // what the last run said
	Notes  string // of a maintenance check: the reason that the operator gave
}

// Key identifies the instance among all nodes: "node/id". The node's name is path-escaped, so that no two instances share
// a key even if names hold slashes.
func (i Instance) Key() string { return url.PathEscape(i.Node) + "/" + i.ID }

// HostPort is the instance's address as dialers take it, an IPv6 address in brackets.
func (i Instance) HostPort() string { return net.JoinHostPort(i.Address, strconv.Itoa(i.Port)) }

// Of says whether a connector host belongs to a cluster; one that does not say to which belongs to any.
func (i Instance) Of(cluster string) bool {
	of := i.Meta[ClusterMeta]
	return of == "" || of == cluster
}

// equal is cheap for instances of which one was made of the other: see [entries].
func (i Instance) equal(other Instance) bool {
	return i.Node == other.Node && i.ID == other.ID && i.Service == other.Service &&
		i.Address == other.Address && i.Port == other.Port &&
		i.WeightPassing == other.WeightPassing && i.WeightWarning == other.WeightWarning && i.Status == other.Status &&
		slices.Equal(i.Tags, other.Tags) && maps.Equal(i.Meta, other.Meta) && slices.Equal(i.Checks, other.Checks)
}

// byNode is the order of a snapshot.
func byNode(a, b Instance) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID)) }

func newInstance(entry *api.ServiceEntry) Instance {
	service := entry.Service
	status := Status(entry.Checks.AggregatedStatus())
	if status == "" {
		// Some check is in a state that we do not know: not one to send traffic to.
		status = Critical
	}
	checks := make([]Check, 0, len(entry.Checks))
	for _, check := range entry.Checks {
		checks = append(checks, Check{
			ID: check.CheckID, Name: check.Name, Status: Status(check.Status), Output: check.Output, Notes: check.Notes,
		})
	}
	slices.SortFunc(checks, func(a, b Check) int { return cmp.Compare(a.ID, b.ID) })
	address := cmp.Or(service.Address, entry.Node.Address)
	return Instance{
		Node:          entry.Node.Node,
		ID:            service.ID,
		Service:       service.Service,
		Address:       strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"),
		Port:          service.DefaultPort(),
		Tags:          service.Tags,
		Meta:          service.Meta,
		WeightPassing: service.Weights.Passing,
		WeightWarning: service.Weights.Warning,
		Status:        status,
		Checks:        checks,
	}
}
