// Package conformance says, as tests, what every [haproxy.DataPlane] does alike. It is imported by the tests of the
// packages that have one.
//
// One case, walked through: "a reload keeps what was saved" asks the [Factory] for a data plane over a running HAProxy
// with three free slots, saves two members and a free slot, has somebody reload HAProxy behind the data plane's back,
// and expects just those servers to run.
//
// A data plane that cannot pass a case says so by name and reason, in its [Exceptions]; the case is then skipped aloud.
package conformance

import (
	"fmt"
	"slices"
	"testing"

	"zatoha/haproxy"
)

// Subject is a data plane under test, with what other people do around it. Everything ends with the test.
type Subject interface {
	haproxy.DataPlane

	// Config is haproxy.cfg as it is.
	Config(t *testing.T) string
	// Overwrite is what an operator does to haproxy.cfg by hand. HAProxy is not told.
	Overwrite(t *testing.T, text string)
	// Redesign has the data plane want another design of our sections, as a restart with other flags does: that servers may
	// think for so many seconds, 30 at first.
	Redesign(t *testing.T, seconds int)
	// Reload has HAProxy read its file again, and returns when it serves on it.
	Reload(t *testing.T)
	// Stop ends HAProxy, at once.
	Stop(t *testing.T)
	// Start starts it again.
	Start(t *testing.T)
}

// Factory makes a subject: HAProxy runs with so many free slots, from a file that had the operator's lines before.
type Factory func(t *testing.T, operators string, slots int) Subject

// Exceptions are the cases that a data plane cannot pass, by name, and why.
type Exceptions map[string]string

// Names of cases that may be excepted.
const (
	ForeignBytes = "the operator's lines stay byte for byte"
	Concurrency  = "calls may be concurrent"

	ForgottenDesign = "a design that was rolled back is in place again when another was in between"
)

type testCase struct {
	name string
	run  func(t *testing.T, start Factory)
}

var cases = []testCase{
	{"prepared servers run and are saved", prepared},
	{"every state leads to every other", states},
	{"a limit of connections comes and goes", limits},
	{"what is saved is read again", saved},
	{"saving twice writes once", savedTwice},
	{"a reload keeps what was saved", reloaded},
	{"a rebuild grows and keeps members", rebuilt},
	{"the operator's directives survive", foreignDirectives},
	{ForeignBytes, foreignBytes},
	{"a file that haproxy refuses is not put in place", refused},
	{"a preview is what is done then", previewed},
	{"a design that was rolled back stays away", rolledBack},
	{ForgottenDesign, rolledBackAndForgotten},
	{"what somebody makes of our lines is put right and told", editedByHand},
	{"a design that was rolled back is kept from edits too", editedAfterRollback},
	{"a section in the way is named", clash},
	{"a server that is not there is named", unknownServer},
	{"a dead haproxy is an error and no more", down},
	{Concurrency, concurrent},
}

// Run runs every case as a subtest.
func Run(t *testing.T, start Factory, except Exceptions) {
	for name := range except {
		if !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name }) {
			t.Errorf("there is no case %q to be excepted from", name)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why, excepted := except[c.name]; excepted {
				t.Skip(why)
			}
			c.run(t, start)
		})
	}
}

// Free are n free slots.
func Free(n int) []haproxy.Server {
	servers := make([]haproxy.Server, n)
	for i := range servers {
		servers[i] = haproxy.Server{Name: name(i + 1), Admin: haproxy.Maint}
	}
	return servers
}

func name(slot int) string { return fmt.Sprintf("slot-%03d", slot) }

// member is somebody in a slot. Nothing listens at the address.
func member(slot, variant int, admin haproxy.Admin) haproxy.Server {
	return haproxy.Server{
		Name: name(slot), Address: fmt.Sprintf("127.0.0.%d", 2+variant), Port: 2000 + slot, Weight: (40*slot + variant) % 256,
		Admin: admin, Note: fmt.Sprintf("node/web-%d-%d", slot, variant),
	}
}

// set makes the running servers what is wanted.
func set(t *testing.T, s Subject, want []haproxy.Server) {
	t.Helper()
	running := servers(t, s)
	var changes []haproxy.Change
	for i := range want {
		changes = append(changes, haproxy.Change{From: running[i], To: want[i]})
	}
	_, err := s.Set(t.Context(), changes) // which may be by a reload
	must(t, err)
}

// outcome is what a call that writes has told.
type outcome struct {
	haproxy.Rewrite
	err error
}

func did(done haproxy.Rewrite, err error) outcome { return outcome{done, err} }

// by expects success by a reload for this reason, of lines that nobody else had edited.
func (o outcome) by(t *testing.T, reason haproxy.Reload) {
	t.Helper()
	must(t, o.err)
	if want := (haproxy.Rewrite{Reload: reason}); o.Rewrite != want {
		t.Errorf("it is said to have done %+v, want %+v", o.Rewrite, want)
	}
}

// quietly expects success, without a reload.
func (o outcome) quietly(t *testing.T) {
	t.Helper()
	o.by(t, "")
}

func servers(t *testing.T, s Subject) []haproxy.Server {
	t.Helper()
	running, err := s.Servers(t.Context())
	must(t, err)
	return running
}

// runs expects the running servers to be as wanted.
func runs(t *testing.T, s Subject, want []haproxy.Server) {
	t.Helper()
	running := servers(t, s)
	if len(running) != len(want) {
		t.Fatalf("%d servers run, want %d", len(running), len(want))
	}
	for i := range want {
		if want[i].Name != running[i].Name || want[i].Differs(running[i]) {
			t.Errorf("want %+v, runs %+v", want[i], running[i])
		}
	}
}

// isSaved expects the file to have the servers.
func isSaved(t *testing.T, s Subject, want []haproxy.Server) {
	t.Helper()
	have, err := s.Saved()
	must(t, err)
	if !slices.Equal(have, want) {
		t.Errorf("saved are\n%+v, want\n%+v", have, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
