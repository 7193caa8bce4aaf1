// Package peers compares the load balancers of a cluster: each says in Consul's KV what it has applied, and each reads
// what the others say. Two that follow the same catalog but send traffic to different servers would otherwise be found
// by the users; and so would two of which one limits clients, say, and the other does not.
//
// One case: lb-2's guard holds back a removal that lb-1 has made. Both publish their digest of who gets traffic; each
// sees the other's differ from its own, and if that stays so for [Patience], both report a divergence. It ends when the
// digests are equal again, or when the other's word is older than [Lifetime]: then it is gone, not divergent. Their
// settings are compared in the same way.
//
// They also say which servers they have drained: a server may go when none of them has anything under way with it. Who
// was there before the words could no longer be read is still reckoned with: nobody's word grows old by our being deaf.
// That the words do not get through is told by the log, and by [Exchange].
//
// A load balancer that dies leaves its word behind. One that was there already when this one began to read may be such a
// word: it is believed when it is renewed, and is not waited for longer than a renewal takes.
package peers

import (
	"context"
	"encoding/json"
	"slices"
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

	// renewal is how long it takes at most until a word is renewed, be it another's or our own, which is read like theirs.
	renewal = repeatInterval * 3 / 2
	// keptFor is how long a word stays in Consul that nobody renews.
	keptFor = time.Hour
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
	DeleteUnchanged(ctx context.Context, pair consul.Pair) (bool, error)
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

	mu      sync.Mutex
	others  map[string]*word
	known   bool      // who there is was read at least once
	heard   time.Time // when any word was read last, our own among them; until then, when this began
	writing passage
	reading passage
}

// New compares the load balancer with this ID, of which applied tells the present state, with those that balance the same
// service.
func New(store Store, prefix, id, service string, applied func() Applied, log zerolog.Logger) *Peers {
	return &Peers{
		store: store, prefix: prefix, id: id, service: service, applied: applied, log: log, others: map[string]*word{},
		changed: make(chan struct{}, 1), heard: time.Now(),
		writing: passage{fails: "the other load balancers cannot be told what was applied, trying on", again: "the other load balancers are told again what was applied"},
		reading: passage{fails: "what the other load balancers have applied cannot be read, trying on", again: "what the other load balancers have applied is read again"},
	}
}

// Changed has the present state looked at now, not within a second.
func (p *Peers) Changed() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
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
		p.listen()
		p.compare(now)
		changed := now.Index != published.Index || now.Digest != published.Digest || now.Design != published.Design ||
			!slices.Equal(now.Drained, published.Drained)
		if (changed || time.Since(published.At) >= repeatInterval) && p.publish(ctx, now) {
			published = now
			published.At = time.Now()
			p.bury(ctx)
		}
		select {
		case <-ctx.Done():
			return p.withdraw(ctx)
		case <-p.changed:
		case <-ticker.C:
		}
	}
}

// publish says whether the others can now read what was applied. If not, the next look tries again.
func (p *Peers) publish(ctx context.Context, now Applied) bool {
	now.Service = p.service
	value, err := json.Marshal(now)
	if err == nil {
		putCtx, cancel := context.WithTimeout(ctx, putTimeout)
		defer cancel()
		err = p.store.Put(putCtx, p.prefix+p.id, value)
	}
	if ctx.Err() == nil { // else it was given up, and has not failed
		p.mu.Lock()
		defer p.mu.Unlock()
		p.writing.note(p.log, err)
	}
	return err == nil
}

// bury deletes the words that nobody has renewed for long: who died does not take his back.
func (p *Peers) bury(ctx context.Context) {
	for _, word := range p.dead() {
		deleteCtx, cancel := context.WithTimeout(ctx, putTimeout)
		gone, err := p.store.DeleteUnchanged(deleteCtx, word)
		cancel()
		if err != nil {
			p.log.Debug().Err(err).Msg("the word of a dead load balancer stays, trying on")
			return
		}
		if gone {
			p.log.Info().Str("key", word.Key).Dur("silent_for", keptFor).Msg("deleted the word of a load balancer that is gone")
		}
	}
}

func (p *Peers) withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
	defer cancel()
	if err := p.store.Delete(ctx, p.prefix+p.id); err != nil {
		p.log.Debug().Err(err).Msg("what was applied stays published until it is too old")
	}
	return nil
}
