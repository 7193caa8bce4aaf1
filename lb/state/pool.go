package state

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Slot is one place in the backend: a server line of HAProxy, with or without a member behind it.
type Slot struct {
	Name   string `json:"name"`
	Member Member `json:"member"`
	// Freed orders the free slots: 0 was never used, and the larger the number, the more recently it was freed.
	Freed uint64 `json:"freed"`
	// Last is the key of the member that a free slot had last. If it returns while the slot is free, it sits there again.
	Last string `json:"last,omitempty"`
}

// Free says whether nobody sits in the slot.
func (s Slot) Free() bool { return s.Member.Key == "" }

// Pool is the backend's row of slots. It never shrinks, and slots never change places or names.
type Pool struct {
	Slots []Slot `json:"slots"`
	// Frees counts the slots freed so far; it numbers [Slot.Freed].
	Frees uint64 `json:"frees"`
}

// NewPool is a pool of n free slots.
func NewPool(n int) Pool {
	var pool Pool
	pool.grow(n)
	return pool
}

// Adopt is a pool that goes on with the slots of an earlier one, with n slots at least.
func Adopt(slots []Slot, n int) Pool {
	pool := Pool{Slots: slots}
	pool.grow(n)
	return pool
}

// Used is the number of slots with a member.
func (p Pool) Used() int { return p.count(func(s Slot) bool { return !s.Free() }) }

// Serving is the number of slots whose member takes traffic: it is ready, and has a weight.
func (p Pool) Serving() int { return p.count(func(s Slot) bool { return s.Member.serves() }) }

// Digest identifies who gets how much traffic, in whatever slots: two load balancers that follow the same catalog have
// the same digest.
func (p Pool) Digest() string {
	var members []string
	for _, slot := range p.Slots {
		if !slot.Free() {
			members = append(members, fmt.Sprintf("%q %s", slot.Member.Key, slot.Member))
		}
	}
	slices.Sort(members)
	sum := sha256.Sum256([]byte(strings.Join(members, "\n")))
	return hex.EncodeToString(sum[:8])
}

func (p Pool) count(is func(Slot) bool) int {
	n := 0
	for _, slot := range p.Slots {
		if is(slot) {
			n++
		}
	}
	return n
}

// grow takes the lowest names that no slot has: an adopted pool may lack some, where somebody has removed a line.
func (p *Pool) grow(to int) {
	taken := make(map[string]bool, to)
	for _, slot := range p.Slots {
		taken[slot.Name] = true
	}
	for n := 1; len(p.Slots) < to; n++ {
		if name := slotName(n); !taken[name] {
			p.Slots = append(p.Slots, Slot{Name: name})
		}
	}
}

// slotName numbers slots from 1.
func slotName(n int) string { return fmt.Sprintf("slot-%03d", n) }

// IsSlot says whether a server's name is one that a slot of some pool may have.
func IsSlot(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "slot-"))
	return err == nil && n > 0 && name == slotName(n)
}
