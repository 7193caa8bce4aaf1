package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zatoha/haproxy"
)

// designs tells what the other load balancers are told of the design in place. For that of the flags they say it. For
// one to which an operator has rolled back a file in the state directory does, in which each start notes it of its own.
type designs struct {
	path  string
	flags string      // what is told of that of the flags, see [haproxy.Options.Shared]
	known [][2]string // design and what is told of it, the newest last
}

// keptDesigns is how many are remembered: more than a rollback can go back to.
const keptDesigns = 8

// newDesigns reads the file. What it does not have, or no file, is not known.
func newDesigns(stateDir, flags string) *designs {
	d := &designs{path: filepath.Join(stateDir, "designs"), flags: flags}
	text, err := os.ReadFile(d.path)
	if err != nil {
		return d
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 2 {
			d.known = append(d.known, [2]string{words[0], words[1]})
		}
	}
	return d
}

// note remembers the design in place if it is that of the flags. It is called before anybody asks for what is told.
func (d *designs) note(placed haproxy.Placed) error {
	own := [2]string{placed.Design, d.flags}
	if !placed.RolledBack.IsZero() || slices.Contains(d.known, own) {
		return nil
	}
	d.known = append(slices.DeleteFunc(d.known, func(known [2]string) bool { return known[0] == own[0] }), own)
	d.known = d.known[max(0, len(d.known)-keptDesigns):]
	var text strings.Builder
	for _, known := range d.known {
		fmt.Fprintln(&text, known[0], known[1])
	}
	if err := os.WriteFile(d.path, []byte(text.String()), 0o640); err != nil {
		return fmt.Errorf("noting the design in place: %w", err)
	}
	return nil
}

// told is what others are told of the design in place. One of which nothing is known is at least not that of the flags.
func (d *designs) told(placed haproxy.Placed) string {
	if placed.RolledBack.IsZero() {
		return d.flags
	}
	for _, known := range d.known {
		if known[0] == placed.Design {
			return known[1]
		}
	}
	return "not " + d.flags
}
