package admin

import (
	"fmt"
	"strings"

	"zatoha/lb/state"
)

// differ marks the slots whose instances differ from the majority in their services.
func (s *Status) differ(parity state.Parity, pool state.Pool) {
	parity.Groups, parity.Differing = list(parity.Groups), list(parity.Differing)
	s.Parity = parity
	held := map[string]bool{}
	for _, d := range parity.Differing {
		held[d.Key] = d.Held
	}
	i := 0
	for _, slot := range pool.Slots { // the status has those that are in use, in the same order
		if !slot.Free() {
			s.Slots[i].Held = held[slot.Member.Key]
			i++
		}
	}
}

// heldForParity counts the servers that are kept out of rotation for their services.
func (s *Status) heldForParity() int {
	n := 0
	for _, d := range s.Parity.Differing {
		if d.Held {
			n++
		}
	}
	return n
}

// split says which hashes there are if none is that of most servers.
func (s *Status) split() string {
	if !s.Parity.Split() {
		return ""
	}
	var groups []string
	for _, g := range s.Parity.Groups {
		groups = append(groups, fmt.Sprintf("%d have %s", g.Servers, g.Services))
	}
	return "The servers do not agree on their services: " + strings.Join(groups, ", ")
}
