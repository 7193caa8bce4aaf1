package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// latest holds the newest value of something, for readers that wait for the next.
type latest[T any] struct {
	mu      sync.Mutex
	value   T
	known   bool
	changed chan struct{} // closed at the next change
}

func newLatest[T any]() *latest[T] { return &latest[T]{changed: make(chan struct{})} }

func (l *latest[T]) set(value T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.known = value, true
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *latest[T]) get() (value T, known bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.known, l.changed
}

// teller passes on the state of a competitor, one call at a time, whenever it has changed.
type teller struct {
	observe func(LeaseState)

	mu    sync.Mutex
	last  LeaseState
	fails map[string]error // what fails, by what was tried
	shown string           // the text of the failure that was told last
}

func (t *teller) role(role Role) { t.tell(func(s *LeaseState) { s.Role = role }) }

// failing notes that something fails, or with nil that it does not any more.
func (t *teller) failing(what string, err error) {
	if errors.Is(err, errStale) {
		return // it is asked anew, and that tells
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.fails[what] == nil {
		return
	}
	if t.fails == nil {
		t.fails = map[string]error{}
	}
	t.fails[what] = err
	if err == nil {
		delete(t.fails, what)
	}
	names := slices.SortedFunc(maps.Keys(t.fails), cmp.Compare[string])
	t.last.Err = nil
	if len(names) > 0 {
		t.last.Err = t.fails[names[0]]
	}
	if text := fmt.Sprint(t.last.Err); text != t.shown {
		t.shown = text
		t.observe(t.last)
	}
}

func (t *teller) tell(change func(*LeaseState)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.last
	change(&t.last)
	if before.Role != t.last.Role || before.Status != t.last.Status {
		t.observe(t.last)
	}
}
