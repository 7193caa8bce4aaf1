// Package rollback remembers two designs of our sections of haproxy.cfg: the one that was in use before the last change
// of it, and the one that an operator gave up. With it, every data plane takes a design back in the same way. A design
// is all of our sections but the servers in them, which come, go and grow of themselves.
//
// One case, walked through: the load balancer is started with another time-out. The data plane hands the file as it was
// to [Memory.Keep] and puts the new one in place. The operator rolls back: [Memory.Before] gives the sections of the file
// that was kept, with the servers of now, and when they are in place, [Memory.Reject] notes the design that they
// replaced. Whatever the flags say, [Memory.Wanted] keeps away from that one. When they say something else, that is put
// in place, and [Choice.Settle] forgets what was given up: they may say it again. A second rollback returns to it too, by
// the same three steps.
package rollback

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// Memory is what is remembered of one haproxy.cfg, in two files, so that it outlives the controller. Whoever changes
// haproxy.cfg uses it, one change at a time. What is kept may have secrets of an operator's in it, so nobody else reads
// it.
type Memory struct {
	path   string
	design func([]edit.Section) (string, error)
}

// New uses the files that begin with path and end with .last-good and .rejected. The function tells designs apart, also
// of sections without servers, whatever servers they have.
func New(path string, design func([]edit.Section) (string, error)) *Memory {
	return &Memory{path: path, design: design}
}

func (m *Memory) lastGood() string { return m.path + ".last-good" }

func (m *Memory) rejected() string { return m.path + ".rejected" }

// Choice is what is to be put in place.
type Choice struct {
	Sections []edit.Section
	// RolledBack is when the design that is wanted was given up, for which the present one stays; zero if it does not.
	RolledBack time.Time

	outdated string // the file with the design that was given up, if that is not wanted any more
}

// Settle is called when the choice is in place: what was given up before is forgotten if something else was wanted.
func (c Choice) Settle() error {
	if c.outdated == "" {
		return nil
	}
	if err := os.Remove(c.outdated); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the design that was rolled back: %w", err)
	}
	return nil
}

// Wanted chooses the sections to be put in place of those that the file has: the ones that are wanted, unless their
// design is the one that was given up. Then only their servers are put in place.
func (m *Memory) Wanted(have, want []edit.Section) (Choice, error) {
	text, err := os.ReadFile(m.rejected())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Choice{Sections: want}, nil
	case len(have) == 0: // without sections HAProxy would not start
		return Choice{Sections: want, outdated: m.rejected()}, nil
	case err != nil:
		return Choice{}, fmt.Errorf("the design that was rolled back: %w", err)
	}
	design, err := m.design(want)
	if err != nil || strings.TrimSpace(string(text)) != design {
		return Choice{Sections: want, outdated: m.rejected()}, err
	}
	// It is still there if a rollback went wrong: it may be about to be replaced, and must not come again then.
	if now, err := m.design(have); err != nil || now == design {
		return Choice{Sections: want}, err
	}
	info, err := os.Stat(m.rejected())
	if err != nil {
		return Choice{}, fmt.Errorf("the design that was rolled back: %w", err)
	}
	return Choice{Sections: haproxy.WithServers(have, want), RolledBack: info.ModTime()}, nil
}

// Keep keeps a file whose design is about to be replaced. A file without a section of ours was never ours to go back
// to. What was kept before is back after undo, for a change that came to nothing.
func (m *Memory) Keep(text string) (undo func() error, err error) {
	undo = func() error { return nil }
	if sections, err := edit.Read(text); err != nil || len(sections) == 0 {
		return undo, err
	}
	before, err := os.ReadFile(m.lastGood())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		undo = func() error { return os.Remove(m.lastGood()) }
	case err != nil:
		return undo, fmt.Errorf("the last good configuration: %w", err)
	default:
		undo = func() error { return replace(m.lastGood(), string(before), 0o600) }
	}
	if err := replace(m.lastGood(), text, 0o600); err != nil {
		return undo, fmt.Errorf("keeping haproxy's last configuration: %w", err)
	}
	return undo, nil
}

// replace writes a file at one stroke: on a disk that is full, what was there before stays.
func replace(path, text string, mode fs.FileMode) error {
	next := path + ".next"
	defer os.Remove(next) // not there any more if all is well
	file, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Before are the sections to go back to from those that the file has, with the servers of now.
func (m *Memory) Before(have []edit.Section) ([]edit.Section, error) {
	kept, err := os.ReadFile(m.lastGood())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: the structure has not changed since the first start, so nothing can be rolled back", m.lastGood())
	}
	if err != nil {
		return nil, fmt.Errorf("the last good configuration: %w", err)
	}
	good, err := edit.Read(string(kept))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.lastGood(), err)
	}
	then, err := m.design(good)
	if err != nil {
		return nil, err
	}
	now, err := m.design(have)
	if err != nil {
		return nil, err
	}
	if then == now {
		return nil, fmt.Errorf("%s has the design that is in use, so nothing can be rolled back", m.lastGood())
	}
	return haproxy.WithServers(good, have), nil
}

// Reject notes the design of the sections that were given up.
func (m *Memory) Reject(sections []edit.Section) error {
	design, err := m.design(sections)
	if err != nil {
		return err
	}
	if err := replace(m.rejected(), design+"\n", 0o644); err != nil {
		return fmt.Errorf("noting the design that was rolled back: %w", err)
	}
	return nil
}
