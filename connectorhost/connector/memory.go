package connector

import (
	"context"
	"sync"
	"time"
)

const (
	memorySize = 4096            // messages; more than are ever in flight
	memoryTime = 5 * time.Minute // a message that comes again later is called again
)

// memory knows what became of the latest messages that have a name of their own, so that a message that is delivered
// again, because the connection was lost while the service ran or before the broker had the acknowledgement, is not
// called twice by this process. It is safe for concurrent use.
type memory struct {
	mu     sync.Mutex
	latest map[string]*memo
	ring   [memorySize]*memo
	next   int
}

// memo is about one message.
type memo struct {
	id   string
	over chan struct{} // closed when the service is through with it
	done bool          // it succeeded
	at   time.Time
}

func newMemory() *memory { return &memory{latest: map[string]*memo{}} }

// begin notes that the service is about to be called, and returns how to note that it is through. If the message is
// delivered again and its service is being called, begin waits for that; succeeded says that nothing is left to do.
func (m *memory) begin(ctx context.Context, message Message) (through func(succeeded bool), succeeded bool) {
	if !message.Stable {
		return func(bool) {}, false
	}
	if message.Redelivered {
		if known := m.find(message.ID); known != nil {
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
	one := &memo{id: message.ID, over: make(chan struct{}), at: time.Now()}
	m.add(one)
	return func(succeeded bool) {
		one.done = succeeded
		close(one.over)
	}, false
}

func (m *memory) find(id string) *memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.latest[id]
	if known == nil || time.Since(known.at) > memoryTime {
		return nil
	}
	return known
}

func (m *memory) add(one *memo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if oldest := m.ring[m.next]; oldest != nil && m.latest[oldest.id] == oldest {
		delete(m.latest, oldest.id)
	}
	m.ring[m.next] = one
	m.next = (m.next + 1) % memorySize
	m.latest[one.id] = one
}
