package zmtp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-zeromq/zmq4"
)

const (
	// maxSubscriptions and maxSubscriptionBytes bound what one subscriber can have us remember.
	maxSubscriptions     = 10_000
	maxSubscriptionBytes = 1 << 20
)

// subscriber is what a PUB knows of a peer: what it wants, and what it has not been written yet.
type subscriber struct {
	queue    chan [][]byte
	bytes    atomic.Int64 // in the queue
	maxBytes int64
	finished chan struct{}
	once     sync.Once

	mu      sync.Mutex
	keys    map[string]int // how often each was subscribed to
	lengths map[int]int    // how many keys have each length
	held    int            // bytes of keys
}

func newSubscriber(o Options) *subscriber {
	return &subscriber{
		queue: make(chan [][]byte, o.HighWater), maxBytes: o.HighWaterBytes, finished: make(chan struct{}),
		keys: map[string]int{}, lengths: map[int]int{},
	}
}

// finish asks for the queue to be written and the connection to be closed.
func (s *subscriber) finish() { s.once.Do(func() { close(s.finished) }) }

// wants says whether a message that begins with this frame goes to the subscriber.
func (s *subscriber) wants(first []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for length := range s.lengths {
		if length <= len(first) && s.keys[string(first[:length])] > 0 {
			return true
		}
	}
	return false
}

// offer queues a message if there is room.
func (s *subscriber) offer(message [][]byte) bool {
	n := size(message)
	if held := s.bytes.Add(n); held > s.maxBytes && held > n {
		s.bytes.Add(-n)
		return false
	}
	select {
	case s.queue <- message:
		return true
	default:
		s.bytes.Add(-n)
		return false
	}
}

// command takes a subscription in the form of ZMTP 3.1.
func (s *subscriber) command(cmd *command) error {
	switch cmd.name {
	case zmq4.CmdSubscribe:
		return s.subscribe(string(cmd.body))
	case zmq4.CmdCancel, zmq4.CmdUnsubscribe:
		s.unsubscribe(string(cmd.body))
	}
	return nil
}

// message takes a subscription in the form of ZMTP 3.0. Other messages are an XSUB's own affair.
func (s *subscriber) message(message [][]byte) error {
	if len(message) != 1 || len(message[0]) == 0 {
		return nil
	}
	key := string(message[0][1:])
	switch message[0][0] {
	case 1:
		return s.subscribe(key)
	case 0:
		s.unsubscribe(key)
	}
	return nil
}

func (s *subscriber) subscribe(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key]++
	if s.keys[key] > 1 {
		return nil
	}
	s.lengths[len(key)]++
	s.held += len(key)
	if len(s.keys) > maxSubscriptions || s.held > maxSubscriptionBytes {
		return faultf(Oversized, "%d subscriptions of %d bytes, up to %d of %d are allowed",
			len(s.keys), s.held, maxSubscriptions, maxSubscriptionBytes)
	}
	return nil
}

func (s *subscriber) unsubscribe(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[key] == 0 {
		return
	}
	if s.keys[key]--; s.keys[key] > 0 {
		return
	}
	delete(s.keys, key)
	s.held -= len(key)
	if s.lengths[len(key)]--; s.lengths[len(key)] == 0 {
		delete(s.lengths, len(key))
	}
}

// fanOut queues a message for each subscriber that wants it.
func (s *Socket) fanOut(ctx context.Context, message [][]byte) error {
	if s.gone() {
		return fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
	}
	if s.options.Method == Connect {
		if err := s.AwaitPeer(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSent, err)
		}
	}
	s.mu.RLock()
	subscribers := slices.Collect(maps.Values(s.peers))
	s.mu.RUnlock()
	want, queued := 0, 0
	for _, subscriber := range subscribers {
		if subscriber.wants(message[0]) {
			want++
			if subscriber.offer(message) {
				queued++
			}
		}
	}
	s.counts.dropped.Add(int64(want - queued))
	if want == 0 {
		s.counts.unheard.Add(1)
	} else if queued == 0 {
		return fmt.Errorf("%w: none of %d subscribers had room", ErrNotSent, want)
	}
	return nil
}

// publish is the life of a peer of a PUB.
func (p *peer) publish(sub *subscriber) error {
	p.socket.members.Go(func() { p.drop(p.read(sub.message, sub.command)) })
	for {
		select {
		case message := <-sub.queue:
			if err := p.writeQueued(sub, message); err != nil {
				return err
			}
		case <-sub.finished:
			for len(sub.queue) > 0 {
				if err := p.writeQueued(sub, <-sub.queue); err != nil {
					return err
				}
			}
			return errClosing
		case <-p.gone:
			return p.cause
		}
	}
}

// writeQueued writes a message and what else is queued, up to a batch.
func (p *peer) writeQueued(sub *subscriber, message [][]byte) error {
	return p.write(p.socket.options.StuckTimeout, func(library *zmq4.Conn) error {
		for range maxBatch {
			sub.bytes.Add(-size(message))
			if err := library.SendMsg(zmq4.NewMsgFrom(message...)); err != nil {
				return err
			}
			select {
			case message = <-sub.queue:
			default:
				return nil
			}
		}
		// The last one taken has still to be written.
		sub.bytes.Add(-size(message))
		return library.SendMsg(zmq4.NewMsgFrom(message...))
	})
}
