package conformance

import (
	"fmt"
	"strings"
	"testing"

	"zatoha/haproxy"
)

func rolledBack(t *testing.T, start Factory) {
	s := start(t, "", 2)
	if _, err := s.Rollback(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be rolled back") {
		t.Errorf("with no design before this one, a rollback says %v", err)
	}
	want := []haproxy.Server{member(1, 0, haproxy.Ready), Free(2)[1]}
	s.Redesign(t, 7)
	did(s.Prepare(t.Context(), want)).by(t, haproxy.ReloadToSet)
	thinks(t, s, 7)
	want = append(want, Free(4)[2:]...)
	did(s.Rebuild(t.Context(), want, haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	did(s.Rollback(t.Context())).by(t, haproxy.ReloadToRollBack)
	thinks(t, s, 30)
	runs(t, s, want)
	isSaved(t, s, want)

	// Neither a restart, nor a change of members, nor growth brings it again.
	s.Redesign(t, 7)
	did(s.Prepare(t.Context(), want)).quietly(t)
	want[1] = member(2, 0, haproxy.Ready)
	set(t, s, want)
	did(s.Save(t.Context(), want)).quietly(t)
	want = append(want, Free(5)[4])
	did(s.Rebuild(t.Context(), want, haproxy.ReloadToGrow)).by(t, haproxy.ReloadToGrow)
	thinks(t, s, 30)
	runs(t, s, want)

	did(s.Rollback(t.Context())).by(t, haproxy.ReloadToRollBack)
	thinks(t, s, 7)
	s.Redesign(t, 8)
	did(s.Prepare(t.Context(), want)).by(t, haproxy.ReloadToSet)
	thinks(t, s, 8)
	runs(t, s, want)
}

// rolledBackAndForgotten is what the flags say: A, B, which is rolled back, C, and B.
func rolledBackAndForgotten(t *testing.T, start Factory) {
	s := start(t, "", 2)
	placed := func(seconds int, rolledBack bool) (design string) {
		t.Helper()
		thinks(t, s, seconds)
		now := s.Placed()
		if now.RolledBack.IsZero() == rolledBack || now.Design == "" {
			t.Errorf("in place is %+v", now)
		}
		return now.Design
	}
	a := placed(30, false)
	s.Redesign(t, 7)
	did(s.Prepare(t.Context(), Free(2))).by(t, haproxy.ReloadToSet)
	b := placed(7, false)
	did(s.Rollback(t.Context())).by(t, haproxy.ReloadToRollBack)
	if now := placed(30, true); now != a || now == b {
		t.Errorf("rolled back from %s to %s is %s", b, a, now)
	}
	s.Redesign(t, 7)
	if preview, err := s.Preview(t.Context(), Free(2)); err != nil || preview.Structural || preview.RolledBack.IsZero() {
		t.Errorf("%v, the preview is %+v", err, preview)
	}
	did(s.Prepare(t.Context(), Free(2))).quietly(t)
	placed(30, true)

	s.Redesign(t, 8)
	did(s.Prepare(t.Context(), Free(2))).by(t, haproxy.ReloadToSet)
	placed(8, false)
	s.Redesign(t, 7)
	if preview, err := s.Preview(t.Context(), Free(2)); err != nil || !preview.Structural || !preview.RolledBack.IsZero() {
		t.Errorf("%v, the preview is %+v", err, preview)
	}
	did(s.Prepare(t.Context(), Free(2))).by(t, haproxy.ReloadToSet)
	if now := placed(7, false); now != b {
		t.Errorf("%s is %s when it comes again", b, now)
	}
}

// thinks expects servers to have so many seconds by the file.
func thinks(t *testing.T, s Subject, seconds int) {
	t.Helper()
	if text := s.Config(t); !strings.Contains(text, fmt.Sprintf("timeout server %d000ms", seconds)) {
		t.Errorf("servers may not think for %d s in\n%s", seconds, text)
	}
}

func editedByHand(t *testing.T, start Factory) {
	s := start(t, operators, 3)
	want := someMembers()
	set(t, s, want)
	did(s.Save(t.Context(), want)).quietly(t)
	edits := func(old, new string) {
		t.Helper()
		text := s.Config(t)
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in\n%s", old, text)
		}
		s.Overwrite(t, strings.Replace(text, old, new, 1))
	}
	tells := func(reload haproxy.Reload, words ...string) {
		t.Helper()
		done, err := s.Save(t.Context(), want)
		must(t, err)
		for _, word := range words {
			if !strings.Contains(done.Edited, word) {
				t.Errorf("what was edited is said to be %q, without %q", done.Edited, word)
			}
		}
		if done.Reload != reload {
			t.Errorf("reloaded for %q, want %q", done.Reload, reload)
		}
		isSaved(t, s, want)
		did(s.Save(t.Context(), want)).quietly(t)
	}
	edits("127.0.0.2:2001", "127.0.0.9:2001")
	tells("", `"server slot-001 127.0.0.9:2001 weight 40 # zatoha node/web-1-0" in place of "server slot-001 127.0.0.2:2001`)
	edits("keep", "keep it") // a line of the operator's
	did(s.Save(t.Context(), want)).quietly(t)
	edits("balance roundrobin", "balance leastconn")
	s.Reload(t)
	tells(haproxy.ReloadToRepair, `"balance leastconn # zatoha" in place of "balance roundrobin # zatoha"`)
	runs(t, s, want)
}

// editedAfterRollback has a design in place that is not the one that is wanted, and an edit of that.
func editedAfterRollback(t *testing.T, start Factory) {
	s := start(t, "", 2)
	s.Redesign(t, 7)
	did(s.Prepare(t.Context(), Free(2))).by(t, haproxy.ReloadToSet)
	did(s.Rollback(t.Context())).by(t, haproxy.ReloadToRollBack)
	edit := func() {
		t.Helper()
		s.Overwrite(t, strings.Replace(s.Config(t), "timeout server 30000ms", "timeout server 9000ms", 1))
	}
	tells := func(reload haproxy.Reload, done haproxy.Rewrite, err error) {
		t.Helper()
		must(t, err)
		if !strings.Contains(done.Edited, "timeout server 9000ms") || done.Reload != reload {
			t.Errorf("it is said to have done %+v", done)
		}
	}
	edit()
	done, err := s.Rollback(t.Context()) // to 7 s again, and then back, but not to what was edited
	tells(haproxy.ReloadToRollBack, done, err)
	thinks(t, s, 7)
	did(s.Rollback(t.Context())).by(t, haproxy.ReloadToRollBack)
	thinks(t, s, 30)
	edit()
	done, err = s.Save(t.Context(), Free(2))
	tells(haproxy.ReloadToRepair, done, err)
	thinks(t, s, 30)
}
