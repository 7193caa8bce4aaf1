package peers

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"zatoha/consul"
)

// word is what another load balancer said last.
type word struct {
	Applied
	modified uint64    // the key's index
	read     time.Time // when it was read first, or again after a silence
	renewed  bool      // since then, or said then: whoever said it was alive
	servers  gap       // of the digests
	settings gap       // of the designs
}

// lifetime is how long the word counts. One that is not renewed may be that of a dead load balancer.
func (w *word) lifetime() time.Duration {
	if w.renewed {
		return Lifetime
	}
	return renewal
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

// Drained says whether all others have drained the instance with this key, as far as their word counts. It says no for as
// long as the words cannot be read, if one that was there before had not drained it by then: how long that keeps up the
// instance is for its own patience to bound. At the start, a first reading is waited for as long as a word takes.
func (p *Peers) Drained(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known && time.Since(p.heard) <= renewal {
		return false
	}
	for _, other := range p.others {
		if p.counts(other) && other.Drained != nil && !slices.Contains(other.Drained, key) {
			return false
		}
	}
	return true
}

// counts says whether the other is to be reckoned with: its word is not too old. While nothing at all is heard no word
// grows older: it may have been renewed.
func (p *Peers) counts(other *word) bool {
	until := time.Now()
	if last := p.heard.Add(renewal - repeatInterval); last.Before(until) {
		until = last
	}
	return until.Sub(other.read) < other.lifetime()
}

// read takes what all say now. A word that has not changed keeps the time when it was first read.
func (p *Peers) read(seen consul.TreeObservation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading.note(p.log, seen.Err)
	if seen.Err != nil {
		return
	}
	anew := p.hear()
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
			other.modified, other.read, other.renewed = pair.ModifyIndex, time.Now(), !anew
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

// hear notes that words are read now, and says whether that is for the first time, or after a silence in which some may
// have been renewed and others not. Then those that counted have to be renewed, and have the time for it.
func (p *Peers) hear() (anew bool) {
	anew = !p.known || time.Since(p.heard) > renewal
	for _, other := range p.others {
		if anew && p.counts(other) {
			other.read, other.renewed = time.Now(), false
		}
	}
	p.known, p.heard = true, time.Now()
	return anew
}

// listen notices that nothing is heard though there is no error: our own word at least has to come back.
func (p *Peers) listen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.heard) > renewal && p.writing.err == nil && (p.reading.err == nil || p.reading.err == errSilence) {
		p.reading.note(p.log, errSilence)
	}
}

// compare notes since when the others differ, and logs those that do for too long. What cannot be read is not compared.
func (p *Peers) compare(ours Applied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reading.err != nil {
		return
	}
	for id, other := range p.others {
		alive := other.renewed && time.Since(other.read) <= Lifetime
		if other.servers.note(alive && other.Digest != ours.Digest) {
			p.log.Error().Str("load_balancer", id).Uint64("its_index", other.Index).Uint64("our_index", ours.Index).
				Msg("another load balancer sends traffic to other servers than this one: compare their status pages")
		}
		if other.settings.note(alive && other.Design != "" && ours.Design != "" && other.Design != ours.Design) {
			p.log.Error().Str("load_balancer", id).Str("its_design", other.Design).Str("our_design", ours.Design).
				Msg("another load balancer has other settings than this one, or is of another version: compare their flags")
		}
	}
}

// dead are the words that nobody has renewed for so long that they can go.
func (p *Peers) dead() (all []consul.Pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, other := range p.others {
		if time.Since(other.read) > keptFor {
			all = append(all, consul.Pair{Key: p.prefix + id, ModifyIndex: other.modified})
		}
	}
	return all
}

// Report is what is known of the others, by ID, and whether each can hear of the other. Those whose word is too old are
// left out.
func (p *Peers) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	report := Report{Others: []Peer{}, Exchange: p.exchange()}
	for id, other := range p.others {
		age := time.Since(other.read)
		if age <= other.lifetime() {
			report.Others = append(report.Others, Peer{
				ID: id, Index: other.Index, Digest: other.Digest, Design: other.Design, Age: age,
				Diverges: other.servers.lasts(), Differs: other.settings.lasts(),
			})
		}
	}
	slices.SortFunc(report.Others, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return report
}
