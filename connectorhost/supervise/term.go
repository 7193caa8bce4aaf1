package supervise

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// term is a page of memory that a supervisor shares with its children, and that only it writes to: until when those of
// an epoch may act. One store tells all of them; no child has to wake up for it, and one that had no processor for a
// while finds what was said meanwhile.
type term struct {
	words *words
	page  []byte
	file  *os.File // for children to be given; nil in a child
}

// words are what the page holds. All zero, nobody may act.
type words struct {
	epoch atomic.Uint64
	until atomic.Int64 // by bootClock
}

// newTerm makes one under which nobody may act yet. It is to be closed.
func newTerm() (*term, error) {
	file, err := sharedMemory()
	if err != nil {
		return nil, fmt.Errorf("memory to share with children: %w", err)
	}
	t, err := openTerm(file, syscall.PROT_READ|syscall.PROT_WRITE)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	t.file = file
	return t, nil
}

// openTerm maps the memory of a file.
func openTerm(file *os.File, protection int) (*term, error) {
	page, err := syscall.Mmap(int(file.Fd()), 0, os.Getpagesize(), protection, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory that parent and children share: %w", err)
	}
	return &term{words: (*words)(unsafe.Pointer(unsafe.SliceData(page))), page: page}, nil
}

// close ends the sharing, on this side.
func (t *term) close() {
	_ = syscall.Munmap(t.page)
	if t.file != nil {
		_ = t.file.Close()
	}
}

// set lets the children of an epoch, and no others, act until a time.
func (t *term) set(epoch uint64, until int64) {
	if t.words.epoch.Load() != epoch {
		t.words.until.Store(0) // whoever reads now belongs to none of the two
		t.words.epoch.Store(epoch)
	}
	t.words.until.Store(until)
}

// until is when children of an epoch have to have ended; a time that is over, if there is another epoch. The order
// matters: a time that was set for a later epoch is not seen without that one.
func (t *term) until(epoch uint64) int64 {
	until := t.words.until.Load()
	if t.words.epoch.Load() != epoch {
		return 0
	}
	return until
}
