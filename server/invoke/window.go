package invoke

import (
	"sync"
	"time"
)

// Bounds are how much a [Window] remembers of what is over.
type Bounds struct {
	Messages int           // at most
	Bytes    int           // of all answers together
	Age      time.Duration // since a message was done
}

// Window knows the messages that are being worked on, and remembers for a while the answers to those that succeeded.
// A failure is not remembered: the message coming again is to run again. It is safe for concurrent use.
type Window[T any] struct {
	bounds Bounds

	mu       sync.Mutex
	messages map[string]*Message[T] // the latest of each ID
	done     []*Message[T]          // what has succeeded, the oldest first
	bytes    int                    // of their answers
	working  int
}

// Message is a message that is being worked on, or was.
type Message[T any] struct {
	id       string
	finished chan struct{} // closed when it is over
	answer   T
	err      error
	size     int
	at       time.Time
}

// NewWindow makes a window that knows nothing.
func NewWindow[T any](bounds Bounds) *Window[T] {
	return &Window[T]{bounds: bounds, messages: map[string]*Message[T]{}}
}

// Begin looks a message up that may come again. Where it is the first of its ID, the caller works on it and then calls
// Finish, in any case. Otherwise somebody else does or did: its outcome is there once its Done is closed.
//
// A message that surely comes for the first time is the first, whoever had its ID before: publishers give one ID to
// several messages, and each of them counts. Of the two, what comes again under that ID is taken for the later one.
func (w *Window[T]) Begin(id string, again bool, now time.Time) (message *Message[T], first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(now)
	if message := w.messages[id]; again && message != nil {
		return message, false
	}
	message = &Message[T]{id: id, finished: make(chan struct{})}
	w.messages[id] = message
	w.working++
	return message, true
}

// Finish says what came of a message, and of what size its answer is. It is called once.
func (w *Window[T]) Finish(message *Message[T], answer T, size int, err error, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	message.answer, message.err, message.size, message.at = answer, err, size, now
	close(message.finished)
	w.working--
	if err != nil {
		w.drop(message)
		return
	}
	w.done = append(w.done, message)
	w.bytes += size
	w.forget(now)
}

// forget keeps within the bounds.
func (w *Window[T]) forget(now time.Time) {
	n := 0
	for ; n < len(w.done); n++ {
		oldest := w.done[n]
		if len(w.done)-n <= w.bounds.Messages && w.bytes <= w.bounds.Bytes && now.Sub(oldest.at) < w.bounds.Age {
			break
		}
		w.drop(oldest)
		w.bytes -= oldest.size
		w.done[n] = nil
	}
	w.done = w.done[n:]
}

// drop has nobody find a message any more, unless there is a later one of its ID.
func (w *Window[T]) drop(message *Message[T]) {
	if w.messages[message.id] == message {
		delete(w.messages, message.id)
	}
}

// Size is how many messages are remembered, and being worked on.
func (w *Window[T]) Size() (remembered, working int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.done), w.working
}

// Done is closed when the message is over.
func (m *Message[T]) Done() <-chan struct{} { return m.finished }

// Outcome is what came of the message. Ask it only when Done is closed.
func (m *Message[T]) Outcome() (T, error) { return m.answer, m.err }
