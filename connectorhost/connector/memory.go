package connector

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	memoryLeast = 4096            // messages that succeeded
	memoryTime  = 5 * time.Minute // a message that comes again so long after its success is called again
)

// memory knows what became of the latest messages that have a name of their own, so that a message that is delivered
// again, because the connection was lost while the service ran or before the broker had the acknowledgement, is not
// called twice by this process. It is safe for concurrent use.
type memory struct {
	size int
	seed maphash.Seed

	mu     sync.Mutex
	latest map[messageKey]*memo
	ring   []*memo // of those that succeeded; the oldest is at next when there are as many as size
	next   int
}

// messageKey tells messages apart, also those to which a publisher gave the same name.
type messageKey struct {
	id   string
	body uint64 // its hash
}

// memo is about one message.
type memo struct {
	key  messageKey
	over chan struct{} // closed when the service is through with it
	done bool          // it succeeded
	at   time.Time     // then
}

// newMemory makes one for a channel that may have so many messages in flight: the broker may not have seen that many
// acknowledgements.
func newMemory(inFlight int) *memory {
	return &memory{size: max(memoryLeast, 2*inFlight), seed: maphash.MakeSeed(), latest: map[messageKey]*memo{}}
}

// begin notes that the service is about to be called, and returns how to note that it is through. If the message is
// delivered again and its service is being called, begin waits for that; succeeded says that nothing is left to do.
func (m *memory) begin(ctx context.Context, message Message) (through func(succeeded bool), succeeded bool) {
	if !message.Stable {
		return func(bool) {}, false
	}
	key := messageKey{message.ID, maphash.Bytes(m.seed, message.Body)}
	for {
		one, known := m.enter(key, message.Redelivered)
		if known == nil {
			return func(succeeded bool) { m.leave(one, succeeded) }, false
		}
		select {
		case <-known.over:
		case <-ctx.Done():
			return func(bool) {}, false
		}
		if known.done {
			return func(bool) {}, true
		}
	}
}

// enter makes a memo, unless one is known and asked for: of a call that runs, or has succeeded not long ago.
func (m *memory) enter(key messageKey, again bool) (one, known *memo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known = m.latest[key]; again && known != nil && (known.at.IsZero() || time.Since(known.at) <= memoryTime) {
		return nil, known
	}
	one = &memo{key: key, over: make(chan struct{})}
	m.latest[key] = one
	return one, nil
}

// leave notes how a call has ended. Only a success is remembered.
func (m *memory) leave(one *memo, succeeded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(one.over)
	switch {
	case !succeeded:
		m.forget(one)
		return
	case len(m.ring) < m.size:
		m.ring = append(m.ring, one)
	default:
		m.forget(m.ring[m.next])
		m.ring[m.next] = one
		m.next = (m.next + 1) % m.size
	}
	one.done, one.at = true, time.Now()
}

func (m *memory) forget(one *memo) {
	if m.latest[one.key] == one {
		delete(m.latest, one.key)
	}
}
