package state

import (
	"cmp"
	"slices"
)

// ParityPolicy is what becomes of a server whose services are others than those of most servers.
type ParityPolicy string

// The policies.
const (
	ReportParity ParityPolicy = "report" // it is only told
	HoldParity   ParityPolicy = "hold"   // it is not let into rotation
)

// Parity is how far the servers agree on their services. Only those are asked that could take traffic and publish a
// hash of their services; the others are other people's programs, or cannot serve anybody anyway.
type Parity struct {
	Policy    ParityPolicy    `json:"policy"`
	Groups    []ServicesGroup `json:"groups"`    // the largest first
	Majority  string          `json:"majority"`  // the hash that more than half of them have; empty if there is none
	Differing []Differing     `json:"differing"` // those that have another, by name
}

// ServicesGroup is the number of servers that have the same services.
type ServicesGroup struct {
	Services string `json:"services"` // the hash
	Servers  int    `json:"servers"`
}

// Differing is a server whose services are not those of the majority.
type Differing struct {
	Key      string `json:"key"`
	ID       string `json:"id"`
	Services string `json:"services"`
	Held     bool   `json:"held"` // it is kept out of rotation
}

// Split says that the servers disagree, and none of the hashes is that of most.
func (p Parity) Split() bool { return len(p.Groups) > 1 && p.Majority == "" }

// Compare says how far the members agree, and what members the pool should have in view of that.
//
// Held is, by [HoldParity], who differs from the majority and is not in rotation yet: it gets the mode [Out]. Who is in
// rotation stays there, so that the pool cannot be emptied and a rolling upgrade takes nobody out twice: of N servers the
// first that come back with new services wait, until as many have the new ones as the old; then there is no majority,
// and nobody is held; and from the next one on the majority is the new one's, and the old ones stay until they are
// replaced. An old one that leaves rotation and comes back after that is the one that differs. A load balancer that
// starts anew in the middle of this has not seen who was in rotation, and may hold whom its peer does not; they tell that
// of each other.
func Compare(pool Pool, catalog Catalog, members []Member, policy ParityPolicy) ([]Member, Parity) {
	parity := Parity{Policy: policy}
	votes := map[string]int{}
	total := 0
	for _, instance := range catalog.Instances {
		if instance.votes() {
			votes[instance.Services]++
			total++
		}
	}
	for hash, n := range votes {
		parity.Groups = append(parity.Groups, ServicesGroup{Services: hash, Servers: n})
		if 2*n > total {
			parity.Majority = hash
		}
	}
	slices.SortFunc(parity.Groups, func(a, b ServicesGroup) int {
		return cmp.Or(cmp.Compare(b.Servers, a.Servers), cmp.Compare(a.Services, b.Services))
	})
	if parity.Majority == "" || len(parity.Groups) < 2 {
		return members, parity
	}
	return parity.hold(pool, catalog, members)
}

// votes says whether the instance could take traffic, and publishes a hash of its services.
func (i *Instance) votes() bool {
	return i.Services != "" && i.mode() == Ready && i.weight() > 0 && i.unusable() == ""
}

// hold notes who differs from the majority, and takes those out that the policy holds.
func (p Parity) hold(pool Pool, catalog Catalog, members []Member) ([]Member, Parity) {
	services := make(map[string]string, len(catalog.Instances))
	for _, instance := range catalog.Instances {
		services[instance.Key] = instance.Services
	}
	inRotation := make(map[string]bool, len(pool.Slots))
	for _, slot := range pool.Slots {
		inRotation[slot.Member.Key] = slot.Member.Mode == Ready
	}
	members = slices.Clone(members)
	for i := range members {
		m := &members[i]
		hash := services[m.Key]
		if hash == "" || hash == p.Majority || !m.serves() {
			continue
		}
		held := p.Policy == HoldParity && !inRotation[m.Key]
		if held {
			m.Mode = Out
		}
		p.Differing = append(p.Differing, Differing{Key: m.Key, ID: m.ID, Services: hash, Held: held})
	}
	return members, p
}

// serves says whether the member is to take traffic.
func (m Member) serves() bool { return m.Mode == Ready && m.Weight > 0 }

// missing says whether the member, or nobody, takes no traffic and has not announced that by draining.
func (m Member) missing() bool { return !m.serves() && m.Mode != Drain }
