package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"zatoha/deploy/program"
)

// heirs are the hosts that stand by, in the eyes of the active one: each asks it again and again which messages it has
// sent, so that whoever takes over sends none of them again. One that asks has heard of all before those that it asks
// for.
//
// An answer waits until there is something new, and then a moment for more. When the host leaves, it waits for nothing,
// and the lease is given up when each of them has heard of everything, or very soon. So nothing is sent twice behind a
// move or a clean stop; of a host that is killed, its heirs may not have heard what was sent in its last moment.
type heirs struct {
	run    string // names this process: another one counts its messages anew
	window *window
	ending chan struct{} // closed when nobody is to wait any more

	mu      sync.Mutex
	known   map[string]heir
	heard   chan struct{}   // closed when one of them has asked
	leaving <-chan struct{} // closed when the host leaves
}

// heir is one of them.
type heir struct {
	last uint64    // the message that it has heard of last
	at   time.Time // when it asked
}

const (
	heirWait   = 4 * time.Second       // longest time that an answer without news takes
	heirPause  = 20 * time.Millisecond // for more news
	heirMost   = 1000                  // messages in an answer
	heirAge    = 2 * heirWait          // an heir that has not asked for so long is none
	farewell   = 50 * time.Millisecond // longest time that heirs are waited for
	longestRun = 64
)

func newHeirs(run string, w *window) *heirs {
	return &heirs{run: run, window: w, ending: make(chan struct{}), known: map[string]heir{}, heard: make(chan struct{})}
}

// sentMessages is what GET /outgoing answers.
type sentMessages struct {
	Run  string        `json:"run"`
	Last uint64        `json:"last"` // the number to ask for next
	Sent []sentMessage `json:"sent"`
}

// sentMessage is one message that a broker has confirmed.
type sentMessage struct {
	Connector string `json:"connector"`
	ID        string `json:"id"`
	Age       int64  `json:"age_ms"` // of its confirmation: clocks differ
}

// ServeHTTP answers GET /outgoing?host=ID&run=RUN&after=N.
func (h *heirs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := strconv.ParseUint(query.Get("after"), 10, 64)
	if id := query.Get("host"); err != nil || !program.ValidName(id) || len(query.Get("run")) > longestRun {
		answer(w, http.StatusBadRequest, failure{"want ?host=SERVICE-ID&run=RUN&after=NUMBER, of the answer before or run= and after=0"})
		return
	}
	if query.Get("run") != h.run {
		after = 0
	}
	h.note(query.Get("host"), heir{after, time.Now()})
	h.await(r.Context(), after)
	some, last := h.window.since(after, heirMost)
	now := time.Now()
	told := sentMessages{Run: h.run, Last: last, Sent: []sentMessage{}}
	for _, s := range some {
		connector, id, _ := strings.Cut(s.key, "\n")
		told.Sent = append(told.Sent, sentMessage{connector, id, now.Sub(s.at).Milliseconds()})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(told) // whoever hung up does not want it
}

// await waits for something behind the n-th message, and then for a moment.
func (h *heirs) await(ctx context.Context, n uint64) {
	ctx, cancel := context.WithTimeout(ctx, heirWait)
	defer cancel()
	newest, _, changed := h.window.state()
	for newest <= n {
		select {
		case <-changed:
			newest, _, changed = h.window.state()
		case <-ctx.Done():
			return
		case <-h.ending:
			return
		}
	}
	if newest-n >= heirMost {
		return
	}
	h.mu.Lock()
	leaving := h.leaving
	h.mu.Unlock()
	select {
	case <-time.After(heirPause):
	case <-leaving:
	case <-ctx.Done():
	case <-h.ending:
	}
}

// note notes who has asked.
func (h *heirs) note(id string, asked heir) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for other, its := range h.known {
		if asked.at.Sub(its.at) > heirAge {
			delete(h.known, other)
		}
	}
	h.known[id] = asked
	close(h.heard)
	h.heard = make(chan struct{})
}

// take begins the time in which this host is the active one, and says what is closed when it is to leave.
func (h *heirs) take(leaving <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = leaving
}

// end has nobody wait any more.
func (h *heirs) end() { close(h.ending) }

// bequeath waits until no message is on its way, and each heir has heard of every one that was sent, but not for long.
func (h *heirs) bequeath(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	for {
		done, heard, sent := h.done(time.Now())
		if done {
			return
		}
		select {
		case <-heard:
		case <-sent:
		case <-ctx.Done():
			return
		}
	}
}

// done says whether nothing is left to be told, and what is closed when that may have changed.
func (h *heirs) done(now time.Time) (done bool, heard, sent <-chan struct{}) {
	newest, under, sent := h.window.state()
	h.mu.Lock()
	defer h.mu.Unlock()
	done = under == 0
	for _, its := range h.known {
		done = done && (its.last >= newest || now.Sub(its.at) > heirAge)
	}
	return done, h.heard, sent
}

// bequest answers those who are entitled.
func (o *outgoing) bequest(w http.ResponseWriter, r *http.Request) {
	if bad := o.admit(r); bad != nil {
		bad.write(w)
		return
	}
	o.heirs.ServeHTTP(w, r)
}
