package conformance

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

func prepared(t *testing.T, start Factory) {
	s := start(t, "", 4)
	runs(t, s, Free(4))
	isSaved(t, s, Free(4))
	stats, err := s.Stats(t.Context())
	must(t, err)
	if len(stats.Servers) != 4 || stats.Servers["slot-004"].Status != "MAINT" || stats.Backend.Status == "" || stats.Frontend.Status != "OPEN" {
		t.Errorf("statistics of four free slots: %+v", stats)
	}
}

// states has one slot for each pair of states. That no reload is in play shows in the draining ones: the file does not
// know them.
func states(t *testing.T, start Factory) {
	admins := []haproxy.Admin{"", haproxy.Ready, haproxy.Drain, haproxy.Maint} // "" is a free slot
	n := len(admins) * len(admins)
	s := start(t, "", n)
	from, to := Free(n), Free(n)
	for i := range n {
		if admin := admins[i/len(admins)]; admin != "" {
			from[i] = member(i+1, 0, admin)
		}
		if admin := admins[i%len(admins)]; admin != "" {
			to[i] = member(i+1, i%2, admin) // every other one moves
		}
	}
	for _, want := range [][]haproxy.Server{from, to, from} {
		set(t, s, want)
		runs(t, s, want)
	}
}

func limits(t *testing.T, start Factory) {
	s := start(t, "", 3)
	want := []haproxy.Server{member(1, 0, haproxy.Ready), member(2, 0, haproxy.Drain), Free(3)[2]}
	for _, limit := range []int{7, 8, 0} {
		want[0].MaxConn, want[1].MaxConn = limit, limit
		set(t, s, want)
		runs(t, s, want)
	}
}

func someMembers() []haproxy.Server {
	return []haproxy.Server{member(1, 0, haproxy.Ready), member(2, 0, haproxy.Maint), Free(3)[2]}
}

func saved(t *testing.T, start Factory) {
	s := start(t, "", 3)
	want := someMembers()
	did(s.Save(t.Context(), want)).quietly(t)
	isSaved(t, s, want)
	runs(t, s, Free(3)) // the file alone was changed

	draining := someMembers()
	draining[0].Admin = haproxy.Drain
	did(s.Save(t.Context(), draining)).quietly(t)
	draining[0].Admin = haproxy.Maint // an HAProxy that starts from the file alone sends it nothing
	isSaved(t, s, draining)
}

func savedTwice(t *testing.T, start Factory) {
	s := start(t, "", 3)
	set(t, s, someMembers())
	did(s.Save(t.Context(), someMembers())).quietly(t)
	text := s.Config(t)
	did(s.Save(t.Context(), someMembers())).quietly(t)
	did(s.Prepare(t.Context(), someMembers())).quietly(t)
	if again := s.Config(t); again != text {
		t.Errorf("the file was\n%s\nand is, for the same servers,\n%s", text, again)
	}
	runs(t, s, someMembers())
}

func reloaded(t *testing.T, start Factory) {
	s := start(t, "", 3)
	did(s.Save(t.Context(), someMembers())).quietly(t)
	s.Reload(t)
	runs(t, s, someMembers())
}

func rebuilt(t *testing.T, start Factory) {
	s := start(t, "", 3)
	set(t, s, someMembers())
	want := append(someMembers(), member(4, 0, haproxy.Ready), Free(5)[4])
	did(s.Rebuild(t.Context(), want, haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	runs(t, s, want)
	isSaved(t, s, want)
	did(s.Rebuild(t.Context(), want[:2], haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	runs(t, s, want[:2])
}

// operators is what an operator has in haproxy.cfg. The indentation is meant to be unusual.
const operators = `# mine
global
	nbthread 2 # keep

defaults
	mode tcp
      timeout connect 1s

backend other
	# the slow one
	timeout server   1s
	server one 127.0.0.1:1 # the first
`

func foreignDirectives(t *testing.T, start Factory) {
	s := start(t, operators, 2)
	did(s.Rebuild(t.Context(), Free(3), haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	text := s.Config(t)
	have := map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(squeezed(line), " from ")
		have[strings.TrimSuffix(line, " unnamed_defaults_1")] = true
	}
	for line := range strings.Lines(operators) {
		if !have[squeezed(line)] {
			t.Errorf("the operator's line %q is gone from\n%s", line, text)
		}
	}
}

func squeezed(line string) string { return strings.Join(strings.Fields(line), " ") }

func foreignBytes(t *testing.T, start Factory) {
	s := start(t, operators, 2)
	did(s.Rebuild(t.Context(), Free(3), haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	did(s.Save(t.Context(), someMembers())).quietly(t)
	if text := s.Config(t); !strings.HasPrefix(text, operators) {
		t.Errorf("the operator's lines were changed:\n%s", text)
	}
}

func refused(t *testing.T, start Factory) {
	s := start(t, operators, 2)
	s.Overwrite(t, strings.Replace(s.Config(t), "nbthread 2", "bogus 2", 1))
	broken := s.Config(t)
	for range 2 { // and not only the first time
		_, err := s.Rebuild(t.Context(), Free(3), haproxy.ReloadToGrow)
		if err == nil || !strings.Contains(err.Error(), "unknown keyword 'bogus'") {
			t.Errorf("a file that haproxy refuses: %v", err)
		}
	}
	if text := s.Config(t); text != broken {
		t.Errorf("the refused file was put in place:\n%s", text)
	}
	runs(t, s, Free(2))
	s.Overwrite(t, strings.Replace(broken, "bogus 2", "nbthread 2", 1))
	did(s.Rebuild(t.Context(), Free(3), haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	runs(t, s, Free(3))
}

func previewed(t *testing.T, start Factory) {
	s := start(t, operators, 2)
	for _, want := range [][]haproxy.Server{Free(2), {member(1, 0, haproxy.Ready), Free(2)[1]}, Free(3)} {
		before := unversioned(s.Config(t))
		preview, err := s.Preview(t.Context(), want)
		must(t, err)
		if preview.Old != before || unversioned(s.Config(t)) != before || preview.Structural != (len(want) > 2) || preview.Redesigned {
			t.Errorf("from\n%s\nthe preview is %+v", before, preview)
		}
		reload := haproxy.Reload("")
		if preview.Structural {
			reload = haproxy.ReloadToSet
		}
		did(s.Prepare(t.Context(), want)).by(t, reload)
		if text := unversioned(s.Config(t)); text != preview.New {
			t.Errorf("the preview was\n%s\nand the file is\n%s", preview.New, text)
		}
	}
	s.Redesign(t, 7)
	if preview, err := s.Preview(t.Context(), Free(3)); err != nil || !preview.Structural || !preview.Redesigned {
		t.Errorf("%v, of another design the preview is %+v", err, preview)
	}
}

// unversioned is a file without the lines by which the Data Plane API numbers it.
func unversioned(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "# _") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func clash(t *testing.T, start Factory) {
	s := start(t, "", 2)
	s.Overwrite(t, strings.ReplaceAll(s.Config(t), " "+edit.Mark, ""))
	theirs := s.Config(t)
	_, err := s.Prepare(t.Context(), Free(2))
	var clash *edit.ClashError
	if !errors.As(err, &clash) || clash.Line == 0 {
		t.Errorf("sections with our names that are not ours: %v", err)
	}
	if text := s.Config(t); text != theirs {
		t.Errorf("somebody else's sections were changed:\n%s", text)
	}
}

func unknownServer(t *testing.T, start Factory) {
	s := start(t, "", 1)
	_, err := s.Set(t.Context(), []haproxy.Change{{To: member(999, 0, haproxy.Ready)}})
	if err == nil || !strings.Contains(err.Error(), "No such server") {
		t.Errorf("setting a server that is not there says %v", err)
	}
}

// soon bounds what is to fail at once.
const soon = 5 * time.Second

func down(t *testing.T, start Factory) {
	s := start(t, "", 2)
	s.Stop(t)
	began := time.Now()
	if running, err := s.Servers(t.Context()); err == nil {
		t.Errorf("no haproxy, and the servers %+v", running)
	}
	if stats, err := s.Stats(t.Context()); err == nil {
		t.Errorf("no haproxy, and its statistics %+v", stats)
	}
	if _, err := s.Set(t.Context(), []haproxy.Change{{From: Free(2)[0], To: member(1, 0, haproxy.Ready)}}); err == nil {
		t.Error("no haproxy, and its servers could be set")
	}
	if _, err := s.Rebuild(t.Context(), Free(3), haproxy.ReloadToGrow); err == nil {
		t.Error("no haproxy, and it could be reloaded")
	}
	if took := time.Since(began); took > soon {
		t.Errorf("four errors took %s", took)
	}

	s.Start(t)
	did(s.Rebuild(t.Context(), someMembers(), haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	runs(t, s, someMembers())
}

func concurrent(t *testing.T, start Factory) {
	const writers, rounds = 4, 3
	s := start(t, "", writers)
	want := Free(writers)
	var all sync.WaitGroup
	each := func(call func() error) {
		all.Go(func() {
			for range rounds {
				if err := call(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range writers {
		last, variant := want[i], 0
		want[i] = member(i+1, rounds, haproxy.Ready)
		each(func() error {
			variant++
			next := member(i+1, variant, haproxy.Ready)
			change := haproxy.Change{From: last, To: next}
			last = next
			_, err := s.Set(t.Context(), []haproxy.Change{change})
			return err
		})
	}
	each(func() error { _, err := s.Save(t.Context(), Free(writers)); return err })
	each(func() error { _, err := s.Servers(t.Context()); return err })
	each(func() error { _, err := s.Stats(t.Context()); return err })
	each(func() error { _, err := s.Saved(); return err })
	all.Wait()
	runs(t, s, want)
	did(s.Save(t.Context(), want)).quietly(t)
	isSaved(t, s, want)
}
