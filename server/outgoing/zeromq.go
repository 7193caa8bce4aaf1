package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmq"
	"zatoha/connectorhost/zmtp"
	"zatoha/server/service"
)

const (
	keyHeader = "key" // of a ZeroMQ message: a frame before the payload
	openMin   = 100 * time.Millisecond
	openMax   = 5 * time.Second
	// handOver is how long the sends that are under way have when their connection is replaced.
	handOver = time.Second
)

// Define says which ZeroMQ connections there are from now on: those of the definitions of kind zmq and role outgoing
// that are active; others are passed over. Only what has changed is opened anew. Sends that wait are sent by the new
// connection of that name. It returns soon; a connection that cannot be opened, because another process has its address,
// is tried for ever, and says so to whoever sends.
func (s *Set) Define(definitions []*connector.Definition) {
	wanted := map[string]zmq.Settings{}
	for _, d := range definitions {
		if settings, ok := d.Settings.(zmq.Settings); ok && zmq.InServers(d) && d.Active {
			wanted[d.Name] = settings
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for name, old := range s.sockets {
		if settings, stays := wanted[name]; stays && reflect.DeepEqual(settings, old.settings) {
			delete(wanted, name)
			continue
		}
		s.log.Info("closing an outgoing zeromq connection", "name", name)
		delete(s.sockets, name)
		old.retire()
		s.closing.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), handOver)
			defer cancel()
			old.close(ctx)
		})
	}
	for name, settings := range wanted {
		s.log.Info("opening an outgoing zeromq connection", "name", name, "type", settings.SocketType,
			"method", settings.SocketMethod, "address", settings.Addresses)
		s.sockets[name] = s.newSocket(name, settings)
	}
}

// socket is one connection.
type socket struct {
	settings zmq.Settings
	retired  context.Context // ends when nothing more is to be sent by it
	retire   context.CancelFunc
	opened   chan struct{} // closed when it is open
	ended    chan struct{} // closed when the goroutine that opens it has ended
	sends    sync.WaitGroup

	mu     sync.Mutex
	zmtp   *zmtp.Socket // nil: not open
	why    error        // it is not
	closed bool         // and will not be
}

func (s *Set) newSocket(name string, settings zmq.Settings) *socket {
	k := &socket{settings: settings, opened: make(chan struct{}), ended: make(chan struct{})}
	k.retired, k.retire = context.WithCancel(context.Background())
	options := settings.Options()
	options.Notify = s.newsOf(name)
	go func() {
		defer close(k.ended)
		for delay := openMin; !k.open(options); delay = min(2*delay, openMax) {
			s.log.Error("an outgoing zeromq connection cannot be opened", "name", name, "error", k.reason())
			select {
			case <-time.After(delay):
			case <-k.retired.Done():
				return
			}
		}
	}()
	return k
}

// newsEvery is how often one kind of trouble is logged: peers that are away, or hostile, would fill the log.
const newsEvery = 10 * time.Second

// newsOf logs what happens to the peers of a connection.
func (s *Set) newsOf(name string) func(zmtp.Event) {
	var mu sync.Mutex
	last := map[zmtp.Cause]time.Time{}
	return func(e zmtp.Event) {
		if e.Err == nil {
			s.log.Info("zeromq peer connected", "name", name, "peer", e.Peer)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last[e.Cause]) >= newsEvery {
			last[e.Cause] = time.Now()
			s.log.Warn("zeromq peer not connected", "name", name, "peer", e.Peer, "cause", string(e.Cause), "error", e.Err)
		}
	}
}

// open says whether there is nothing more to try.
func (k *socket) open(options zmtp.Options) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return true
	}
	if k.zmtp, k.why = zmtp.Open(options); k.why != nil {
		return false
	}
	close(k.opened)
	return true
}

func (k *socket) reason() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.why
}

// stats are nothing while it is not open.
func (k *socket) stats() zmtp.Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.zmtp == nil {
		return zmtp.Stats{}
	}
	return k.zmtp.Stats()
}

// close waits for what is under way until ctx ends, and for what a publisher has queued.
func (k *socket) close(ctx context.Context) {
	k.retire()
	<-k.ended
	k.mu.Lock()
	k.closed = true
	open := k.zmtp
	k.mu.Unlock()
	if open == nil {
		return
	}
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		k.sends.Wait()
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	_ = open.Close(ctx)
	<-idle
}

// errRetired says that the connection was replaced before it had sent anything.
var errRetired = errors.New("the connection is not defined any more")

// send sends by this connection, if it is still to be used.
func (k *socket) send(ctx context.Context, message [][]byte) error {
	select {
	case <-k.opened:
	case <-k.retired.Done():
		return errRetired
	case <-ctx.Done():
		return fmt.Errorf("%w: it is not open: %w", zmtp.ErrNotSent, errors.Join(k.reason(), context.Cause(ctx)))
	}
	k.mu.Lock()
	if k.closed || k.retired.Err() != nil {
		k.mu.Unlock()
		return errRetired
	}
	k.sends.Add(1)
	k.mu.Unlock()
	defer k.sends.Done()
	err := k.zmtp.Send(ctx, message...)
	if errors.Is(err, zmtp.ErrNotSent) && errors.Is(err, zmtp.ErrClosed) {
		return errRetired
	}
	return err
}

// sendZMQ sends by the connection that has the name now.
func (s *Set) sendZMQ(ctx context.Context, kind, name string, message service.Message) error {
	// A copy, because a publisher queues it, and a peer may still be taking it when there is no more time to wait for that.
	frames := [][]byte{bytes.Clone(message.Payload)}
	if key, there := message.Headers[keyHeader]; there {
		frames = [][]byte{[]byte(key), frames[0]}
	}
	for {
		s.mu.RLock()
		k := s.sockets[name]
		s.mu.RUnlock()
		if k == nil {
			return failed(service.Unavailable, kind, name, "not sent: "+errRetired.Error(), nil)
		}
		err := k.send(ctx, frames)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errRetired):
			continue
		case errors.Is(err, zmtp.ErrTooLarge):
			return failed(service.TooLarge, kind, name, err.Error(), nil)
		case errors.Is(err, zmtp.ErrUnconfirmed):
			return failed(service.Unavailable, kind, name, "not confirmed, it may have been sent or not", err)
		case errors.Is(err, zmtp.ErrNotSent):
			return failed(service.Unavailable, kind, name, "not sent", err)
		}
		return failed(service.Internal, kind, name, err.Error(), err)
	}
}
