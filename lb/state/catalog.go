package state

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Status is an instance's health as the catalog tells it.
type Status string

// The catalog's words for health, worst last.
const (
	Passing     Status = "passing"
	Warning     Status = "warning"
	Critical    Status = "critical"
	Maintenance Status = "maintenance"
)

// Instance is one registered instance of the balanced service.
type Instance struct {
	Key           string // unique in the whole catalog
	ID            string // the name that people know it by
	Address       string // an IP address
	Port          int    // 1..65535
	WeightPassing int    // share of the traffic while passing
	WeightWarning int    // share of the traffic while warning
	MaxConn       int    // requests at a time that it can take; 0 is no limit
	Status        Status
	Drain         bool   // asked to leave rotation by its own metadata
	Services      string // hash of the services that it runs; empty if it publishes none
	Fault         string // why it cannot be balanced, if that is known already
}

// Catalog is a whole snapshot of the balanced service.
type Catalog struct {
	Index     uint64 // the catalog's version
	Instances []Instance
}

// Mode is how much traffic a member gets.
type Mode string

// The modes, from all of its share to nothing.
const (
	Ready Mode = "ready" // its share of new requests
	Drain Mode = "drain" // no new requests; those in flight may finish
	Out   Mode = "out"   // nothing
)

// Member is an instance's place in the pool: where it is and how much traffic it gets. The zero value is nobody.
type Member struct {
	Key     string `json:"key"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	Weight  int    `json:"weight"`  // 0..256, HAProxy's range
	MaxConn int    `json:"maxconn"` // requests at a time; 0 is no limit
	Mode    Mode   `json:"mode"`
}

// Refusal is an instance that cannot be balanced, and why.
type Refusal struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// maxWeight is the largest weight that HAProxy takes.
const maxWeight = 256

// Desire says which members the pool should have, sorted by key, and which instances cannot be balanced at all.
func Desire(catalog Catalog) ([]Member, []Refusal) {
	members := make([]Member, 0, len(catalog.Instances))
	var refusals []Refusal
	scale := weightScale(catalog)
	for _, instance := range catalog.Instances {
		if reason := instance.unusable(); reason != "" {
			refusals = append(refusals, Refusal{ID: instance.ID, Reason: reason})
			continue
		}
		members = append(members, Member{
			Key:     instance.Key,
			ID:      instance.ID,
			Address: instance.Address,
			Port:    instance.Port,
			Weight:  scale(instance.weight()),
			MaxConn: instance.MaxConn,
			Mode:    instance.mode(),
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Key, b.Key) })
	return members, refusals
}

func (i *Instance) unusable() string {
	switch {
	case i.Fault != "":
		return i.Fault
	case i.Address == "":
		return "it has no address"
	case unspecified(i.Address):
		return fmt.Sprintf("its address %s is that of no machine: register one at which it can be reached", i.Address)
	case i.Port < 1 || i.Port > 65535:
		return fmt.Sprintf("its port is %d, not 1..65535", i.Port)
	}
	return ""
}

// unspecified says whether an address is 0.0.0.0 or ::, on which programs listen. HAProxy would take it for the address
// that the client has asked, which is its own.
func unspecified(address string) bool {
	if strings.ContainsAny(address, "123456789") {
		return false // no such address has one; with thousands of others, to see that is quicker than to read each
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.Unmap().IsUnspecified()
}

// mode puts a wish to leave above health: a draining instance whose checks fail must still be let finish.
func (i *Instance) mode() Mode {
	switch {
	case i.Drain || i.Status == Maintenance:
		return Drain
	case i.Status == Passing || i.Status == Warning:
		return Ready
	default:
		return Out
	}
}

func (i *Instance) weight() int {
	if i.Status == Warning {
		return i.WeightWarning
	}
	return i.WeightPassing
}

// weightScale fits the catalog's weights into HAProxy's range and keeps their proportions; a weight above zero stays
// above zero.
func weightScale(catalog Catalog) func(int) int {
	largest := 0
	for _, instance := range catalog.Instances {
		largest = max(largest, instance.WeightPassing, instance.WeightWarning)
	}
	return func(weight int) int {
		switch {
		case weight <= 0:
			return 0
		case largest <= maxWeight:
			return weight
		default:
			return max(1, weight*maxWeight/largest)
		}
	}
}
