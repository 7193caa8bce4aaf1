package zmtp

import (
	"context"
	"math"
	"sync"
)

// inbox holds messages that were received until somebody takes them. Whoever brings one when it is full waits, so that
// in the end the sender waits, or, if it is a PUB, drops.
type inbox struct {
	maxMessages int
	maxBytes    int64
	filled      chan struct{} // has an element if there may be something to take

	mu      sync.Mutex
	room    sync.Cond
	queue   [][][]byte
	bytes   int64
	endless bool // there is no limit any more
	closed  bool
}

func newInbox(maxMessages int, maxBytes int64) *inbox {
	b := &inbox{maxMessages: maxMessages, maxBytes: maxBytes, filled: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

func (b *inbox) put(message [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.full() {
		b.room.Wait()
	}
	b.queue, b.bytes = append(b.queue, message), b.bytes+size(message)
	b.wake()
}

// awaitRoom waits until a message would be let in, and says whether it had to.
func (b *inbox) awaitRoom() (waited bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.full() {
		waited = true
		b.room.Wait()
	}
	return waited
}

// full says whether a message has to wait. The caller has the lock.
func (b *inbox) full() bool {
	return !b.endless && len(b.queue) > 0 && (len(b.queue) >= b.maxMessages || b.bytes >= b.maxBytes)
}

func (b *inbox) wake() {
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

// take waits for a message. A closed and empty inbox has none.
func (b *inbox) take(ctx context.Context) ([][]byte, error) {
	for {
		if message, err := b.poll(); message != nil || err != nil {
			return message, err
		}
		select {
		case <-b.filled:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *inbox) poll() ([][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		if b.closed {
			b.wake() // the others who wait
			return nil, ErrClosed
		}
		return nil, nil
	}
	message := b.queue[0]
	b.queue[0] = nil
	b.queue, b.bytes = b.queue[1:], b.bytes-size(message)
	b.room.Broadcast()
	if len(b.queue) > 0 {
		b.wake()
	}
	return message, nil
}

// limitBytes lets in any number of messages, within the limit of their bytes: those that are on the way.
func (b *inbox) limitBytes() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maxMessages = math.MaxInt
	b.room.Broadcast()
}

// overflow lets in what waits for room.
func (b *inbox) overflow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endless = true
	b.room.Broadcast()
}

// close says that nothing more comes.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wake()
}

// size is the number of bytes in all frames.
func size(message [][]byte) (n int64) {
	for _, frame := range message {
		n += int64(len(frame))
	}
	return n
}
