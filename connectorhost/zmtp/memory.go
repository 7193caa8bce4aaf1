package zmtp

import (
	"sync"
	"time"
)

// memory bounds what is held of messages that have not come to their end, over all peers. When it is too much, whoever
// is at it longest is dropped: a peer that means it is done in a moment, one that holds on to memory is not.
type memory struct {
	max int64

	mu    sync.Mutex
	total int64
	holds map[*peer]hold
}

type hold struct {
	since time.Time
	bytes int64
}

// hold notes what a peer holds, and says whether its message has just begun.
func (m *memory) hold(p *peer, bytes int64) (begun bool) {
	var drop *peer
	m.mu.Lock()
	defer func() {
		m.mu.Unlock()
		if drop != nil {
			drop.drop(faultf(Oversized, "more than %d bytes are held of unfinished messages, and this peer's is the oldest", m.max))
		}
	}()
	h, known := m.holds[p]
	if !known {
		h.since = time.Now()
	}
	m.total += bytes - h.bytes
	h.bytes = bytes
	m.holds[p] = h
	if m.total > m.max {
		drop = m.oldest()
		m.total -= m.holds[drop].bytes
		delete(m.holds, drop)
	}
	return !known
}

// oldest is, of those that hold more than everybody may, the one whose message began first.
func (m *memory) oldest() (found *peer) {
	for p, h := range m.holds {
		if h.bytes > 0 && (found == nil || h.since.Before(m.holds[found].since)) {
			found = p
		}
	}
	return found
}

// end forgets a peer whose message is complete, or who is gone.
func (m *memory) end(p *peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total -= m.holds[p].bytes
	delete(m.holds, p)
}
