package zmtp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Socket is one ZeroMQ socket. It is safe for concurrent use.
type Socket struct {
	options  Options
	listener net.Listener // of Bind

	staying context.Context // ends when Close begins
	leave   context.CancelFunc
	closing sync.Once
	members sync.WaitGroup // goroutines
	ended   chan struct{}  // closed when the last one has ended

	memory  memory
	inbox   *inbox    // of PULL and SUB
	work    chan *job // of PUSH: what is in no peer's slot
	turn    atomic.Uint64
	counts  counts
	pending pending

	mu      sync.RWMutex
	peers   map[*peer]*subscriber // subscriber of PUB, else nil
	order   []*peer               // the same, as they came
	changed chan struct{}         // closed and replaced when a peer comes
	trouble map[string]string     // by address: why it is not connected
}

// Open makes a socket. In [Bind] it listens when Open returns; in [Connect] it goes on trying, for ever, until Close.
func Open(options Options) (*Socket, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("zeromq socket: %w", err)
	}
	options = options.withDefaults()
	s := &Socket{
		options: options, ended: make(chan struct{}),
		memory: memory{max: options.HighWaterBytes, holds: map[*peer]hold{}},
		inbox:  newInbox(options.HighWater, options.HighWaterBytes), work: make(chan *job),
		peers: map[*peer]*subscriber{}, changed: make(chan struct{}), trouble: map[string]string{},
	}
	s.staying, s.leave = context.WithCancel(context.Background())
	if options.Method == Bind {
		address, _ := hostPort(options.Addresses[0], Bind)
		listener, err := new(net.ListenConfig).Listen(s.staying, "tcp", address)
		if err != nil {
			s.leave()
			return nil, fmt.Errorf("zeromq socket: bind to %s: %w: choose an address of this machine that is free",
				options.Addresses[0], err)
		}
		s.listener = listener
		s.members.Go(s.accept)
	} else {
		for _, address := range options.Addresses {
			s.members.Go(func() { s.keepConnected(address) })
		}
	}
	return s, nil
}

// Addr is where a socket that binds listens, else "".
func (s *Socket) Addr() string {
	if s.listener == nil {
		return ""
	}
	return "tcp://" + s.listener.Addr().String()
}

// AwaitPeer returns when a peer is connected. If ctx ends first, the error says why there is none.
func (s *Socket) AwaitPeer(ctx context.Context) error {
	for {
		s.mu.RLock()
		n, changed := len(s.peers), s.changed
		s.mu.RUnlock()
		if n > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-s.staying.Done():
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("no peer %s: %w", s.absent(), context.Cause(ctx))
		}
	}
}

// absent tells where nobody is.
func (s *Socket) absent() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.options.Method == Bind {
		return "has connected to " + s.options.Addresses[0]
	}
	text := "is connected"
	for _, address := range slices.Sorted(maps.Keys(s.trouble)) {
		text += " (" + address + ": " + s.trouble[address] + ")"
	}
	return text
}

func (s *Socket) setTrouble(address, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble[address] = why; why == "" {
		delete(s.trouble, address)
	}
}

// serve is the life of a peer after its handshake.
func (s *Socket) serve(p *peer) error {
	var sub *subscriber
	if s.options.Type == Pub {
		sub = newSubscriber(s.options)
	}
	s.mu.Lock()
	if err := s.admit(); err != nil {
		s.mu.Unlock()
		p.drop(err)
		return err
	}
	s.peers[p], s.order = sub, append(s.order, p)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.counts.connected.Add(1)
	s.options.Notify(Event{Peer: p.address})

	p.drop(s.converse(p, sub))
	s.mu.Lock()
	delete(s.peers, p)
	s.order = slices.DeleteFunc(s.order, func(other *peer) bool { return other == p })
	s.mu.Unlock()
	p.emptySlot()
	return p.cause
}

// admit says why there is no room for another peer. It is called with the lock held.
func (s *Socket) admit() error {
	switch {
	case s.gone():
		return errClosing
	case len(s.peers) >= s.options.MaxPeers:
		s.counts.refused.Add(1)
		return faultf(Crowded, "%d peers are connected, no more are allowed", len(s.peers))
	}
	return nil
}

var errClosing = &fault{cause: Closing, text: "the socket is closed"}

// converse does what sockets of this type do with a peer.
func (s *Socket) converse(p *peer, sub *subscriber) error {
	switch s.options.Type {
	case Push:
		return p.push()
	case Pub:
		return p.publish(sub)
	default:
		return p.receive()
	}
}

func (s *Socket) gone() bool { return s.staying.Err() != nil }

// everybody are the peers of now.
func (s *Socket) everybody() []*peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.peers))
}

// Close parts from all peers and ends every goroutine. Until ctx ends, a PULL or SUB takes in what its peers had on the
// way, as long as somebody receives it or HighWaterBytes has room, and a PUB writes what it has queued; then whatever is
// left is dropped. A PUSH sends nothing more: the calls of Send that are under way fail. Messages taken in are still
// given by Receive, and then [ErrClosed]. When Close has returned, also with an error, no goroutine is left.
func (s *Socket) Close(ctx context.Context) error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.leave()
		s.mu.Unlock()
		if s.listener != nil {
			_ = s.listener.Close()
		}
		s.inbox.limitBytes()
		for _, p := range s.everybody() {
			p.part()
		}
		go func() {
			s.members.Wait()
			s.inbox.close()
			close(s.ended)
		}()
	})
	var err error
	select {
	case <-s.ended:
	case <-ctx.Done():
		err = fmt.Errorf("zeromq socket: closed with messages under way: %w", context.Cause(ctx))
	}
	s.inbox.overflow()
	for _, p := range s.everybody() {
		p.drop(errClosing)
	}
	<-s.ended
	return err
}

// part tells a peer that we are leaving.
func (p *peer) part() {
	switch p.socket.options.Type {
	case Push:
		p.drop(errClosing)
	case Pub:
		p.socket.mu.RLock()
		sub := p.socket.peers[p]
		p.socket.mu.RUnlock()
		if sub != nil {
			sub.finish()
		}
	default:
		// The peer sees the end of what we send and closes, and what it had given to its operating system still comes.
		half, ok := p.conn.(interface{ CloseWrite() error })
		if !ok || half.CloseWrite() != nil {
			p.drop(errClosing)
		}
	}
}

// report tells of a connection's end.
func (s *Socket) report(address string, err error) {
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{Left, "connect", err}
	}
	s.options.Notify(Event{Peer: address, Err: f, Cause: f.cause})
}

// pause waits, and says whether the socket is still open.
func (s *Socket) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !s.gone()
	case <-s.staying.Done():
		return false
	}
}
