package rollback

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

// sections are ours with a time-out, which is their design here, and a number of free slots.
func sections(timeout time.Duration, slots int) []edit.Section {
	options := haproxy.DefaultOptions()
	options.ServerTimeout = timeout
	servers := make([]haproxy.Server, slots)
	for i := range servers {
		servers[i] = haproxy.Server{Name: "slot-00" + string(rune('1'+i)), Admin: haproxy.Maint}
	}
	return options.Sections(servers)
}

func design(sections []edit.Section) (string, error) { return haproxy.Design(sections), nil }

func file(t *testing.T, of []edit.Section) string {
	t.Helper()
	text, err := edit.Apply("# an operator's\n", of)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newMemory(t *testing.T) *Memory {
	return New(filepath.Join(t.TempDir(), "haproxy.cfg"), design)
}

func keep(t *testing.T, m *Memory, text string) (undo func() error) {
	t.Helper()
	undo, err := m.Keep(text)
	if err != nil {
		t.Fatal(err)
	}
	return undo
}

// before wants to go back to a design, with so many slots.
func before(t *testing.T, m *Memory, have, want []edit.Section) {
	t.Helper()
	got, err := m.Before(have)
	if err != nil || file(t, got) != file(t, want) {
		t.Errorf("%v, goes back to\n%s\nwant\n%s", err, file(t, got), file(t, want))
	}
}

func TestADesignGoesBackAndForthWithTheServersOfNow(t *testing.T) {
	m := newMemory(t)
	keep(t, m, file(t, sections(1*time.Second, 2)))
	before(t, m, sections(2*time.Second, 4), sections(1*time.Second, 4))
	keep(t, m, file(t, sections(2*time.Second, 4)))
	before(t, m, sections(1*time.Second, 3), sections(2*time.Second, 3))
	if info, err := os.Stat(m.lastGood()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, others may read what is kept: %v", err, info.Mode())
	}
}

func TestARejectedDesignIsKeptAwayFromUntilAnotherIsAskedFor(t *testing.T) {
	m := newMemory(t)
	have := sections(1*time.Second, 2)
	wants := func(have, want, put []edit.Section) {
		t.Helper()
		got, err := m.Wanted(have, want)
		if err != nil || !reflect.DeepEqual(got.Sections, put) {
			t.Errorf("%v, puts in place\n%+v\nwant\n%+v", err, got.Sections, put)
		}
		if away := !reflect.DeepEqual(want, put); got.RolledBack.IsZero() == away || time.Since(got.RolledBack) < time.Minute != away {
			t.Errorf("rolled back at %v", got.RolledBack)
		}
	}
	settle := func(have, want []edit.Section) {
		t.Helper()
		choice, err := m.Wanted(have, want)
		if err := errors.Join(err, choice.Settle()); err != nil {
			t.Fatal(err)
		}
	}
	rejected := sections(2*time.Second, 3)
	wants(have, rejected, rejected)
	if err := m.Reject(sections(2*time.Second, 9)); err != nil {
		t.Fatal(err)
	}
	wants(have, rejected, sections(1*time.Second, 3))
	wants(have, sections(3*time.Second, 3), sections(3*time.Second, 3))
	wants(nil, rejected, rejected)      // somebody removed the file: without sections HAProxy would not start
	wants(rejected, rejected, rejected) // it is not gone yet, if the rollback failed half-way
	settle(have, rejected)
	settle(rejected, rejected)
	wants(have, rejected, sections(1*time.Second, 3))

	third := sections(3*time.Second, 3)
	settle(have, third)
	wants(third, rejected, rejected)
	settle(third, third)
}

func TestADesignIsForgottenWhenItIsPutInPlaceAllTheSame(t *testing.T) {
	m := newMemory(t)
	have, rejected := sections(1*time.Second, 2), sections(2*time.Second, 2)
	if err := m.Reject(rejected); err != nil {
		t.Fatal(err)
	}
	choice, err := m.Wanted(nil, rejected)
	if err := errors.Join(err, choice.Settle()); err != nil {
		t.Fatal(err)
	}
	if choice, err := m.Wanted(have, rejected); err != nil || !choice.RolledBack.IsZero() {
		t.Errorf("%v, still rolled back: %v", err, choice.RolledBack)
	}
}

func TestWhatCannotBeRolledBackIsSaid(t *testing.T) {
	m := newMemory(t)
	have := sections(1*time.Second, 2)
	for _, c := range []struct{ kept, says string }{
		{"", "there is no " + m.lastGood()},
		{"global\n  nbthread 2\n", "there is no " + m.lastGood()}, // was never ours
		{file(t, sections(1*time.Second, 5)), "has the design that is in use"},
	} {
		keep(t, m, c.kept)
		if _, err := m.Before(have); err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasSuffix(err.Error(), "nothing can be rolled back") {
			t.Errorf("%v does not say %q", err, c.says)
		}
	}
}

func TestAChangeThatCameToNothingLeavesTheMemoryAsItWas(t *testing.T) {
	m := newMemory(t)
	first, second := sections(1*time.Second, 2), sections(2*time.Second, 2)
	if err := keep(t, m, file(t, first))(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.lastGood()); !os.IsNotExist(err) {
		t.Errorf("what was kept first is still there: %v", err)
	}
	keep(t, m, file(t, first))
	if err := keep(t, m, file(t, second))(); err != nil {
		t.Fatal(err)
	}
	before(t, m, second, first)
}

func TestAMemoryThatCannotBeUsedIsAnError(t *testing.T) {
	m := New(filepath.Join(t.TempDir(), "none", "haproxy.cfg"), design)
	have := sections(1*time.Second, 2)
	_, keepErr := m.Keep(file(t, have))
	for _, err := range []error{keepErr, m.Reject(have)} {
		if err == nil || !strings.Contains(err.Error(), "haproxy.cfg.") {
			t.Errorf("without its folder: %v", err)
		}
	}
	undecided := errors.New("undecided")
	m = New(filepath.Join(t.TempDir(), "haproxy.cfg"), func([]edit.Section) (string, error) { return "", undecided })
	keep(t, m, file(t, have))
	if err := os.WriteFile(m.rejected(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, wantedErr := m.Wanted(have, have)
	_, beforeErr := m.Before(have)
	for _, err := range []error{wantedErr, beforeErr, m.Reject(have)} {
		if !errors.Is(err, undecided) {
			t.Errorf("of designs that cannot be told apart: %v", err)
		}
	}
}

// TestWhatIsKeptIsReplacedAtOneStroke holds on to the file by a second name, which a writing in place would change too.
func TestWhatIsKeptIsReplacedAtOneStroke(t *testing.T) {
	m := newMemory(t)
	first, second := file(t, sections(1*time.Second, 2)), file(t, sections(2*time.Second, 2))
	keep(t, m, first)
	held := filepath.Join(t.TempDir(), "held")
	if err := os.Link(m.lastGood(), held); err != nil {
		t.Fatal(err)
	}
	keep(t, m, second)
	for path, want := range map[string]string{held: first, m.lastGood(): second} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s: %v, has\n%s", path, err, text)
		}
	}
	if err := os.Mkdir(m.lastGood()+".next", 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if _, err := m.Keep(first); err == nil {
		t.Error("a file that cannot be written is no error")
	}
	if text, err := os.ReadFile(m.lastGood()); err != nil || string(text) != second {
		t.Errorf("after that, %v, it has\n%s", err, text)
	}
}
