package main

import (
	"sync"
	"time"
)

// window remembers which messages were sent, by the latest names, so that one that is posted again, because nobody heard
// the answer, is not sent again. It may be used concurrently.
type window struct {
	size int
	age  time.Duration

	mu       sync.Mutex
	messages map[string]*sending
	sent     []*sending // a ring, oldest at next
	next     int
}

// sending is one message on its way, or sent.
type sending struct {
	key  string
	done chan struct{} // closed when reply is there
	reply
	at time.Time // when it was sent
}

func newWindow(size int, age time.Duration) *window {
	return &window{size: size, age: age, messages: map[string]*sending{}}
}

// begin says whether a message is to be sent, which then has to be followed by finish; else somebody sends it, or has.
func (w *window) begin(key string, now time.Time) (s *sending, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s = w.messages[key]; s != nil && (s.at.IsZero() || now.Sub(s.at) < w.age) {
		return s, false
	}
	s = &sending{key: key, done: make(chan struct{})}
	w.messages[key] = s
	return s, true
}

// finish says what became of a message. Only one that was sent is remembered: others may be tried again.
func (w *window) finish(s *sending, r reply, sent bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.reply = r
	if sent {
		s.at = now
		w.remember(s)
	} else {
		delete(w.messages, s.key)
	}
	close(s.done)
}

func (w *window) remember(s *sending) {
	if len(w.sent) < w.size {
		w.sent = append(w.sent, s)
		return
	}
	if oldest := w.sent[w.next]; w.messages[oldest.key] == oldest {
		delete(w.messages, oldest.key)
	}
	w.sent[w.next] = s
	w.next = (w.next + 1) % w.size
}

// len is how many messages are known.
func (w *window) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.messages)
}
