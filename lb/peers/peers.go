// Package peers compares the load balancers of a cluster: each says in Consul's KV what it has applied, and each reads
// what the others say. Two that follow the same catalog but send traffic to different servers would otherwise be found
// by the users; and so would two of which one limits clients, say, and the other does not.
//
// One case: lb-2's guard holds back a removal that lb-1 has made. Both publish their digest of who gets traffic; each
// sees the other's differ from its own, and if that stays so for [Patience], both report a divergence. It ends when the
// digests are equal again, or when the other's word is older than [Lifetime]: then it is gone, not divergent. Their
// settings are compared in the same way.
//
// They also say which servers they have drained: a server may go when none of them has anything under way with it.
package peers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
)

const (
	// Patience is how long two load balancers may differ. A change takes milliseconds to reach both.
	Patience = 5 * time.Second
	// Lifetime is how long the word of a load balancer counts. It is repeated three times as often.
	Lifetime = 30 * time.Second

	lookInterval   = time.Second
	repeatInterval = Lifetime / 3
	putTimeout     = 2 * time.Second
)

// Applied is what a load balancer says of itself.
type Applied struct {
	// Service is what it balances. Who balances another one is no peer; "" is an older version, which does not say.
	Service string `json:"service"`

	Index  uint64    `json:"consul_index"` // of the catalog that it follows
	Digest string    `json:"digest"`       // of who gets how much traffic
	Design string    `json:"design"`       // of HAProxy's configuration, but for what is a machine's own; "" is not compared
	At     time.Time `json:"at"`           // when it said so, by its own clock
	// Drained are the instances, by key, that leave and with which it has nothing under way. Null is an older version, which
	// does not say.
	Drained []string `json:"drained"`
}

// Peer is another load balancer as this one sees it.
type Peer struct {
	ID       string        `json:"id"`
	Index    uint64        `json:"consul_index"`
	Digest   string        `json:"digest"`
	Design   string        `json:"design"`
	Age      time.Duration `json:"age_ns"`         // of its word, since it was read here
	Diverges bool          `json:"diverges"`       // sends traffic to other servers
	Differs  bool          `json:"design_differs"` // has another design
}

// Store is what is needed of Consul.
type Store interface {
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	WatchTree(ctx context.Context, prefix string, observe func(consul.TreeObservation))
}

// Peers compares one load balancer with the others. Its methods may be called from several goroutines.
type Peers struct {
	store   Store
	prefix  string
	id      string
	service string
	applied func() Applied
	log     zerolog.Logger
	changed chan struct{} // holds one wake-up

	mu     sync.Mutex
	others map[string]*word
}

// word is what another load balancer said last.
type word struct {
	Applied
	modified uint64    // the key's index
	read     time.Time // when it was read
	servers  gap       // of the digests
	settings gap       // of the designs
}

// gap is a difference between another's word and ours.
type gap struct {
	since time.Time // zero if there is none
	told  bool      // that it lasts is in the log
}

// note says whether a difference has just begun to last.
func (g *gap) note(is bool) bool {
	switch {
	case !is:
		*g = gap{}
	case g.since.IsZero():
		g.since = time.Now()
	case g.lasts() && !g.told:
		g.told = true
		return true
	}
	return false
}

func (g gap) lasts() bool { return !g.since.IsZero() && time.Since(g.since) >= Patience }

// New compares the load balancer with this ID, of which applied tells the present state, with those that balance the same
// service.
func New(store Store, prefix, id, service string, applied func() Applied, log zerolog.Logger) *Peers {
	return &Peers{
		store: store, prefix: prefix, id: id, service: service, applied: applied, log: log, others: map[string]*word{},
		changed: make(chan struct{}, 1),
	}
}

// Changed has the present state looked at now, not within a second.
func (p *Peers) Changed() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Drained says whether all others have drained the instance with this key, as far as their word counts.
func (p *Peers) Drained(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.others {
		if time.Since(other.read) <= Lifetime && other.Drained != nil && !slices.Contains(other.Drained, key) {
			return false
		}
	}
	return true
}

// Run publishes and compares until ctx ends, and takes its own word back then.
func (p *Peers) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.store.WatchTree(ctx, p.prefix, p.read)
	}()
	defer func() { <-watched }()
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var published Applied
	for {
		now := p.applied()
		p.compare(now)
		changed := now.Index != published.Index || now.Digest != published.Digest || now.Design != published.Design ||
			!slices.Equal(now.Drained, published.Drained)
		if (changed || time.Since(published.At) >= repeatInterval) && p.publish(ctx, now) {
			published = now
			published.At = time.Now()
		}
		select {
		case <-ctx.Done():
			return p.withdraw(ctx)
		case <-p.changed:
		case <-ticker.C:
		}
	}
}

func (p *Peers) publish(ctx context.Context, now Applied) bool {
	now.Service = p.service
	value, err := json.Marshal(now)
	if err != nil {
		p.log.Error().Err(err).Msg("what was applied cannot be published")
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	return p.store.Put(ctx, p.prefix+p.id, value) == nil // without Consul there is nobody to tell; the next look tries again
}

func (p *Peers) withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
	defer cancel()
	if err := p.store.Delete(ctx, p.prefix+p.id); err != nil {
		p.log.Debug().Err(err).Msg("what was applied stays published until it is too old")
	}
	return nil
}

// read takes what all say now. A word that has not changed keeps the time when it was first read.
func (p *Peers) read(seen consul.TreeObservation) {
	if seen.Err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	said := map[string]bool{}
	for _, pair := range seen.Pairs {
		id := strings.TrimPrefix(pair.Key, p.prefix)
		if id == p.id {
			continue
		}
		other := p.others[id]
		if other == nil {
			other = &word{}
		}
		if other.modified != pair.ModifyIndex {
			other.Applied = Applied{}
			if err := json.Unmarshal(pair.Value, &other.Applied); err != nil {
				p.log.Warn().Err(err).Str("key", pair.Key).Msg("a load balancer's word cannot be read")
			}
			other.modified, other.read = pair.ModifyIndex, time.Now()
		}
		if other.Service == "" || other.Service == p.service {
			said[id], p.others[id] = true, other
		}
	}
	for id := range p.others {
		if !said[id] {
			delete(p.others, id)
		}
	}
}

// compare notes since when the others differ, and logs those that do for too long.
func (p *Peers) compare(ours Applied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, other := range p.others {
		fresh := time.Since(other.read) <= Lifetime
		if other.servers.note(fresh && other.Digest != ours.Digest) {
			p.log.Error().Str("load_balancer", id).Uint64("its_index", other.Index).Uint64("our_index", ours.Index).
				Msg("another load balancer sends traffic to other servers than this one: compare their status pages")
		}
		if other.settings.note(fresh && other.Design != "" && ours.Design != "" && other.Design != ours.Design) {
			p.log.Error().Str("load_balancer", id).Str("its_design", other.Design).Str("our_design", ours.Design).
				Msg("another load balancer has other settings than this one, or is of another version: compare their flags")
		}
	}
}

// Report is what is known of the others, by ID. Those whose word is too old are left out.
func (p *Peers) Report() []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	report := []Peer{}
	for id, other := range p.others {
		age := time.Since(other.read)
		if age <= Lifetime {
			report = append(report, Peer{
				ID: id, Index: other.Index, Digest: other.Digest, Design: other.Design, Age: age,
				Diverges: other.servers.lasts(), Differs: other.settings.lasts(),
			})
		}
	}
	slices.SortFunc(report, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return report
}
