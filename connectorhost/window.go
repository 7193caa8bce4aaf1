package main

import (
	"sync"
	"time"
)

// window remembers which messages were sent, by the latest names, so that one that is posted again, because nobody heard
// the answer, is not sent again: by this host, or by another one that has learned of it, see heirs. It is safe for
// concurrent use.
type window struct {
	size int
	age  time.Duration

	mu       sync.Mutex
	messages map[string]*sending
	under    int           // messages on their way
	sent     []*sending    // a ring: the n-th that was sent is at (n-1) % size
	newest   uint64        // how many were sent, or learned of
	news     chan struct{} // closed when one was sent, or was not
}

// sending is one message on its way, or sent.
type sending struct {
	key  string
	done chan struct{} // closed when reply is there
	reply
	at time.Time // when it was sent
}

// windowKey names a message by its connector and its ID, which is from a header and has no line break.
func windowKey(connector, id string) string { return connector + "\n" + id }

func newWindow(size int, age time.Duration) *window {
	return &window{size: size, age: age, messages: map[string]*sending{}, news: make(chan struct{})}
}

// begin says whether a message is to be sent, which then has to be followed by finish; else somebody sends it, or has.
func (w *window) begin(key string, now time.Time) (s *sending, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s = w.find(key, now); s != nil {
		return s, false
	}
	s = &sending{key: key, done: make(chan struct{})}
	w.messages[key] = s
	w.under++
	return s, true
}

// known is the message of a key, if it is on its way, or was sent not long ago, else nil.
func (w *window) known(key string, now time.Time) *sending {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.find(key, now)
}

func (w *window) find(key string, now time.Time) *sending {
	if s := w.messages[key]; s != nil && (s.at.IsZero() || now.Sub(s.at) < w.age) {
		return s
	}
	return nil
}

// finish says what became of a message. Only one that was sent is remembered: others may be tried again.
func (w *window) finish(s *sending, r reply, sent bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.reply = r
	w.under--
	if sent {
		s.at = now
		w.remember(s)
	} else {
		delete(w.messages, s.key)
	}
	close(s.done)
	w.tell()
}

// learn remembers a message that another host has sent, and returns false if it was known.
func (w *window) learn(key string, at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.find(key, at) != nil {
		return false
	}
	s := &sending{key: key, done: make(chan struct{}), reply: replyTo(nil), at: at}
	close(s.done)
	w.messages[key] = s
	w.remember(s)
	w.tell()
	return true
}

func (w *window) remember(s *sending) {
	w.newest++
	if len(w.sent) < w.size {
		w.sent = append(w.sent, s)
		return
	}
	place := int((w.newest - 1) % uint64(w.size))
	if oldest := w.sent[place]; w.messages[oldest.key] == oldest {
		delete(w.messages, oldest.key)
	}
	w.sent[place] = s
}

func (w *window) tell() {
	close(w.news)
	w.news = make(chan struct{})
}

// state is the number of the message that was sent last, how many are on their way, and what is closed at the next
// change.
func (w *window) state() (newest uint64, under int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest, w.under, w.news
}

// since yields what was sent behind the n-th, oldest first, so many at most, and the number of the last of them. What has
// been forgotten meanwhile is left out.
func (w *window) since(n uint64, most int) (some []*sending, last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = max(min(n, w.newest), w.newest-uint64(len(w.sent)))
	last = min(w.newest, n+uint64(most))
	for ; n < last; n++ {
		some = append(some, w.sent[n%uint64(w.size)])
	}
	return some, last
}

// len is how many messages are known.
func (w *window) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.messages)
}
