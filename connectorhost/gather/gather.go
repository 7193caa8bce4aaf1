// Package gather writes to a connection what many goroutines have to say, in one go: a system call for each message costs
// more than all the rest of it.
//
// One case: twenty goroutines publish by one connection to a broker. Each puts its frames into the [Writer], which costs
// it a copy. The goroutine that runs the writer is woken by the first, lets the others that are ready have their turn,
// and writes what twenty have put as one piece; meanwhile the next ones put theirs. When nobody else is ready, the first
// is written at once.
package gather

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	piece = 1 << 20   // bytes, each of which has the whole time to be read
	kept  = 256 << 10 // bytes of a buffer that is used again
)

// Writer writes to a connection, in the order in which it is given something. It is safe for concurrent use.
type Writer struct {
	connection net.Conn
	patience   time.Duration // until the other side is taken for dead that reads nothing

	mu      sync.Mutex
	pending []byte
	busy    bool // something that was pending is being written
	stopped bool
	wake    chan struct{} // has room for one
	idle    chan struct{} // not nil if somebody waits until all is written, and closed then
}

// New makes a writer, which writes while [Writer.Run] runs.
func New(connection net.Conn, patience time.Duration) *Writer {
	return &Writer{connection: connection, patience: patience, wake: make(chan struct{}, 1)}
}

// Put has something written, which the function appends to what is written before. It returns how many bytes are waiting,
// and whether anybody writes at all.
func (w *Writer) Put(something func(to []byte) []byte) (waiting int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return 0, false
	}
	w.pending = something(w.pending)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(w.pending), true
}

// ErrUnread says that the other side reads nothing.
var ErrUnread = errors.New("the other side reads nothing")

// Run writes until ended is closed, which is no error. Nothing is written after it has returned.
func (w *Writer) Run(ended <-chan struct{}) error {
	defer w.stop()
	var spare []byte
	for {
		select {
		case <-w.wake:
		case <-ended:
			return nil
		}
		runtime.Gosched() // whoever is ready puts something too
		w.mu.Lock()
		select {
		case <-w.wake: // by those whose turn it was, and who are in this batch
		default:
		}
		batch := w.pending
		w.pending, w.busy = spare[:0], true
		w.mu.Unlock()
		if err := w.write(batch); err != nil {
			return err
		}
		if spare = batch; cap(spare) > kept {
			spare = nil
		}
		w.mu.Lock()
		w.busy = false
		w.told()
		w.mu.Unlock()
	}
}

func (w *Writer) write(batch []byte) error {
	for len(batch) > 0 {
		if err := w.connection.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
			return err
		}
		n, err := w.connection.Write(batch[:min(len(batch), piece)])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrUnread
		}
		if err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (w *Writer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, w.busy, w.stopped = nil, false, true
	w.told()
}

// Written returns what is closed when all that was put is written, or never will be.
func (w *Writer) Written() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.told()
	return idle
}

// told tells whoever waits that nothing is left to write, if that is so. The caller has the lock.
func (w *Writer) told() {
	if w.idle != nil && len(w.pending) == 0 && !w.busy {
		close(w.idle)
		w.idle = nil
	}
}
