package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"zatoha/consul"
	"zatoha/haproxy"
	"zatoha/lb/state"
)

// drains are the members, by key, that are being drained.
type drains map[string]drain

type drain struct {
	since  time.Time // when HAProxy was told to send it nothing new
	idle   bool      // it has nothing under way here, and gets nothing any more
	told   bool      // that it may go, and as far as is known it has the word still
	looked time.Time // when it was told, or its word was looked for last
}

const (
	// tellAgain is after how long a member that was told is looked after again. One that was in maintenance for long and
	// then stops takes the word back that it had got, and waits for another.
	tellAgain = time.Second
	// lookTimeout bounds such a look, for which nobody need be waiting: a Consul that hangs must not keep up the rounds.
	lookTimeout = 300 * time.Millisecond
)

// stale says whether the member was told, and is to be looked after again.
func (d drain) stale(now time.Time) bool { return d.told && now.Sub(d.looked) >= tellAgain }

// drainSettle is how long a member must have been in drain before its idle connections prove anything: a request that
// was on its way when the drain began has arrived by then.
const drainSettle = time.Second

// waiting says whether anybody is to be told now, or looked after again.
func (d drains) waiting(now time.Time) bool {
	for _, one := range d {
		if !one.told || one.stale(now) {
			return true
		}
	}
	return false
}

// busy says whether HAProxy may have something under way with any of them.
func (d drains) busy() bool {
	for _, one := range d {
		if !one.idle {
			return true
		}
	}
	return false
}

// update starts the clock for members that are new in drain, and forgets those that are no longer.
func (d drains) update(pool state.Pool, now time.Time) {
	draining := map[string]bool{}
	for _, slot := range pool.Slots {
		if slot.Member.Mode != state.Drain {
			continue
		}
		draining[slot.Member.Key] = true
		if _, known := d[slot.Member.Key]; !known {
			d[slot.Member.Key] = drain{since: now}
		}
	}
	for key := range d {
		if !draining[key] {
			delete(d, key)
		}
	}
}

// look notes whether HAProxy has nothing under way any more with the member.
func (d drains) look(member state.Member, traffic haproxy.Traffic, now time.Time) {
	one, drains := d[member.Key]
	if drains && !one.idle && now.Sub(one.since) >= drainSettle && traffic.Sessions == 0 {
		one.idle = true
		d[member.Key] = one
	}
}

// Acknowledgement is the value of the KV key by which a drained instance learns that it may go.
type Acknowledgement struct {
	Instance string    `json:"instance"`
	Slot     string    `json:"slot"`
	At       time.Time `json:"at"`
}

// acknowledge tells every member that has been drained, here and by the other load balancers, that it may go. That
// somebody cannot be told keeps up neither the others nor the rounds, and does not mean that HAProxy is not as it should
// be.
func (l *Loop) acknowledge(ctx context.Context) {
	if !l.drains.waiting(time.Now()) {
		l.noteAcks(ctx, nil)
		return
	}
	if time.Since(l.ackFailed) < retryDelay {
		return
	}
	pool, _ := l.read()
	if l.drains.busy() {
		stats, err := l.plane.Stats(ctx)
		if err != nil {
			l.noteAcks(ctx, fmt.Errorf("asking whether drained servers are idle: %w", err))
			return
		}
		for _, slot := range pool.Slots {
			l.drains.look(slot.Member, stats.Servers[slot.Name].Traffic, time.Now())
		}
	}
	l.publishDrained()
	l.lookAgain(ctx, pool)
	var failed []error
	for _, slot := range pool.Slots {
		if one := l.drains[slot.Member.Key]; one.idle && !one.told && l.options.Agreed(slot.Member.Key) {
			failed = append(failed, l.letGo(ctx, slot))
		}
	}
	l.noteAcks(ctx, errors.Join(failed...))
}

// Drained are the members, by key, with which HAProxy has nothing under way any more, as they are about to leave. A
// member may go only when each load balancer of the cluster has it among these: one of them may be idle, and another one
// busy.
func (l *Loop) Drained() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained // it is replaced, never changed
}

func (l *Loop) publishDrained() {
	now := []string{}
	for key, one := range l.drains {
		if one.idle {
			now = append(now, key)
		}
	}
	slices.Sort(now)
	l.mu.Lock()
	changed := !slices.Equal(now, l.drained)
	if changed {
		l.drained = now
	}
	l.mu.Unlock()
	if changed {
		l.options.Drained()
	}
}

// lookAgain sees who of those that were told has the word still; who has not is told anew. A look that fails is made
// again a second later, and is no failure to tell anybody: most of them stop much later, or never. When Consul hangs at
// one of them, the others wait for the next look too.
func (l *Loop) lookAgain(ctx context.Context, pool state.Pool) {
	hangs := false
	for _, slot := range pool.Slots {
		one := l.drains[slot.Member.Key]
		if !one.stale(time.Now()) {
			continue
		}
		if !hangs {
			has, err := l.hasWord(ctx, slot.Member.ID)
			if err != nil {
				l.log.Debug().Err(err).Str("instance", slot.Member.ID).Msg("whether it knows that it is drained cannot be seen, looking again")
			}
			one.told, hangs = has || err != nil, errors.Is(err, context.DeadlineExceeded)
		}
		one.looked = time.Now()
		l.drains[slot.Member.Key] = one
	}
}

// hasWord asks Consul whether the instance has the word that it may go.
func (l *Loop) hasWord(ctx context.Context, instance string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	word, err := l.acks.Get(ctx, consul.DrainedKey(l.options.Cluster, instance))
	return word.Found, err
}

// letGo tells the slot's member that it may go.
func (l *Loop) letGo(ctx context.Context, slot state.Slot) error {
	value, err := json.Marshal(Acknowledgement{Instance: slot.Member.ID, Slot: slot.Name, At: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := l.acks.Put(ctx, consul.DrainedKey(l.options.Cluster, slot.Member.ID), value); err != nil {
		return fmt.Errorf("acknowledging that %s is drained: %w", slot.Member.ID, err)
	}
	l.log.Info().Str("instance", slot.Member.ID).Str("slot", slot.Name).Msg("drained")
	one := l.drains[slot.Member.Key]
	one.told, one.looked = true, time.Now()
	l.drains[slot.Member.Key] = one
	return nil
}

// parting are the servers, by slot, whose instance has left the catalog a moment ago and may still have requests in
// hand: they are kept in drain until the time given, though their slots are free. Maintenance would cut them off.
type parting map[string]farewell

type farewell struct {
	server haproxy.Server
	until  time.Time
}

// partingTime is how long requests in hand may go on. It is as long as a server may think by default.
const partingTime = 30 * time.Second

// take gives the plan's changes in HAProxy's terms. Those that it lets go are parting from now on; no longer parting is
// whose time is over or whose slot is taken.
func (p parting) take(plan state.Plan, now time.Time) []haproxy.Change {
	for slot, last := range p {
		if now.After(last.until) {
			delete(p, slot)
		}
	}
	changes := make([]haproxy.Change, 0, len(plan.Changes))
	for _, change := range plan.Changes {
		from := p.server(state.Slot{Name: change.Slot, Member: change.Before})
		delete(p, change.Slot)
		if change.Kind() == "free" {
			leaving := from
			leaving.Admin = haproxy.Drain
			p[change.Slot] = farewell{server: leaving, until: now.Add(partingTime)}
		}
		to := p.server(state.Slot{Name: change.Slot, Member: change.After})
		if from != to {
			changes = append(changes, haproxy.Change{From: from, To: to, Anew: change.Before.Key != change.After.Key})
		}
	}
	return changes
}

// server is a slot in HAProxy's terms, or who is parting from it.
func (p parting) server(slot state.Slot) haproxy.Server {
	if last, leaves := p[slot.Name]; leaves {
		return last.server
	}
	return server(slot)
}

// servers are all slots of the pool in HAProxy's terms, with those that are parting in them.
func (p parting) servers(pool state.Pool) []haproxy.Server {
	all := make([]haproxy.Server, 0, len(pool.Slots))
	for _, slot := range pool.Slots {
		all = append(all, p.server(slot))
	}
	return all
}
