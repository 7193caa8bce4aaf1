package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/freeport"
	"zatoha/haproxy"
	"zatoha/haproxy/edit"
	"zatoha/haproxy/process"
)

// newDataPlane is a data plane over an empty directory; HAProxy is not running yet.
func newDataPlane(t *testing.T) (*DataPlane, process.Paths) {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	options := haproxy.DefaultOptions()
	options.Bind = freeport.For(t)
	paths := process.Paths{Config: filepath.Join(dir, "haproxy.cfg"), Dir: dir}
	supervised := process.New("haproxy", paths, zerolog.New(zerolog.NewTestWriter(t)), func() {})
	return New("haproxy", paths, options, supervised), paths
}

// start runs HAProxy with n free slots until the test ends.
func start(t *testing.T, slots int) (*DataPlane, process.Paths) {
	t.Helper()
	d, paths := newDataPlane(t)
	serve(t, d, paths, slots)
	return d, paths
}

// serve runs the HAProxy of a data plane with n free slots until the test ends.
func serve(t *testing.T, d *DataPlane, paths process.Paths, slots int) {
	t.Helper()
	if _, err := d.Prepare(t.Context(), freeSlots(slots)); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{}, 10)
	d.process = process.New("haproxy", paths, zerolog.Nop(), func() { up <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.process.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := process.Stop(ctx, paths); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-up:
	case <-time.After(10 * time.Second):
		t.Fatal("haproxy does not start")
	}
}

func freeSlots(n int) []haproxy.Server {
	servers := make([]haproxy.Server, n)
	for i := range servers {
		servers[i] = haproxy.Server{Name: fmt.Sprintf("slot-%03d", i+1), Admin: haproxy.Maint}
	}
	return servers
}

func member(slot int, admin haproxy.Admin) haproxy.Server {
	return haproxy.Server{
		Name: fmt.Sprintf("slot-%03d", slot), Address: "127.0.0.2", Port: 2000 + slot, Weight: slot % 256, MaxConn: slot % 7,
		Admin: admin, Note: fmt.Sprintf("node/web-%d", slot),
	}
}

// set makes the running servers what is wanted.
func set(t *testing.T, d *DataPlane, want []haproxy.Server) error {
	t.Helper()
	running, err := d.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var changes []haproxy.Change
	for i := range want {
		changes = append(changes, haproxy.Change{From: running[i], To: want[i]})
	}
	return errorOf(d.Set(t.Context(), changes))
}

// errorOf is how a call ended, whatever else it tells.
func errorOf(_ haproxy.Rewrite, err error) error { return err }

// same says whether the running servers are as wanted, and which is the first that is not.
func same(t *testing.T, d *DataPlane, want []haproxy.Server) {
	t.Helper()
	running, err := d.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(running) != len(want) {
		t.Fatalf("%d servers run, want %d", len(running), len(want))
	}
	for i := range want {
		if want[i].Name != running[i].Name || want[i].Differs(running[i]) {
			t.Errorf("want %+v, runs %+v", want[i], running[i])
		}
	}
}

func TestMembersAreSetWithoutAReload(t *testing.T) {
	d, _ := start(t, 120)
	worker := d.process.Status().Worker
	want := freeSlots(120)
	for i := range want {
		want[i] = member(i+1, []haproxy.Admin{haproxy.Ready, haproxy.Drain, haproxy.Maint}[i%3])
	}
	if err := set(t, d, want); err != nil {
		t.Fatal(err)
	}
	same(t, d, want)
	for i := range want { // every state to every other, addresses too
		want[i] = member(121-i, []haproxy.Admin{haproxy.Drain, haproxy.Maint, haproxy.Ready}[i%3])
		want[i].Name = fmt.Sprintf("slot-%03d", i+1)
	}
	want[7] = haproxy.Server{Name: "slot-008", Admin: haproxy.Maint}
	if err := set(t, d, want); err != nil {
		t.Fatal(err)
	}
	same(t, d, want)
	if err := d.process.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.process.Status().Worker == worker {
		t.Error("the worker is still the first one after a reload")
	}
}

func TestTheFileFollowsAndIsServedAfterAReload(t *testing.T) {
	d, _ := start(t, 3)
	want := []haproxy.Server{member(1, haproxy.Ready), member(2, haproxy.Maint), freeSlots(3)[2]}
	if _, err := d.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	saved, err := d.Saved()
	if err != nil || !slices.Equal(saved, want) {
		t.Errorf("saved %+v, %v", saved, err)
	}
	if err := d.process.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, d, want)
}

func TestThePoolGrowsByAReload(t *testing.T) {
	d, _ := start(t, 2)
	want := append([]haproxy.Server{member(1, haproxy.Ready), member(2, haproxy.Ready), member(3, haproxy.Ready)}, freeSlots(6)[3:]...)
	if _, err := d.Rebuild(t.Context(), want, haproxy.ReloadToGrow); err != nil {
		t.Fatal(err)
	}
	same(t, d, want)
	stats, err := d.Stats(t.Context())
	if err != nil || len(stats.Servers) != 6 || stats.Servers["slot-006"].Status != "MAINT" {
		t.Errorf("statistics %+v, %v", stats, err)
	}
}

func TestForeignLinesSurviveAndARefusedFileIsNotPutInPlace(t *testing.T) {
	d, paths := newDataPlane(t)
	foreign := "# mine\nglobal\n\tnbthread 2 # keep\n\nfrontend other\n\tmode http\n\ttimeout client 1s\n\tbind 127.0.0.1:65000"
	write(t, paths.Config, foreign)
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err != nil {
		t.Fatal(err)
	}
	if text := read(t, paths.Config); !strings.HasPrefix(text, foreign+"\n") {
		t.Errorf("the operator's lines were changed:\n%s", text)
	}

	broken := "global\n\tbogus 1\n"
	write(t, paths.Config, broken)
	_, err := d.Prepare(t.Context(), freeSlots(2))
	if err == nil || !strings.Contains(err.Error(), "unknown keyword 'bogus'") {
		t.Errorf("a file that haproxy refuses: %v", err)
	}
	if text := read(t, paths.Config); text != broken {
		t.Errorf("the refused file was put in place:\n%s", text)
	}
}

func TestAClashNamesFileLineAndRemedy(t *testing.T) {
	d, paths := newDataPlane(t)
	write(t, paths.Config, "global\n\nfrontend front_http_plain\n\tbind :80\n")
	_, err := d.Prepare(t.Context(), freeSlots(2))
	var clash *edit.ClashError
	if !errors.As(err, &clash) || clash.Line != 3 || !strings.HasPrefix(err.Error(), paths.Config+": line 3: ") {
		t.Errorf("a clash says %v", err)
	}
}

func TestAnUnwritableFileIsExplained(t *testing.T) {
	d, paths := newDataPlane(t)
	d.paths.Config = filepath.Join(paths.Dir, "no", "such", "haproxy.cfg")
	if _, err := d.Prepare(t.Context(), freeSlots(2)); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("an unwritable file says %v", err)
	}
}

func TestAMissingSocketIsAnErrorAtOnce(t *testing.T) {
	d, _ := newDataPlane(t)
	if _, err := d.Servers(t.Context()); err == nil {
		t.Error("no haproxy, and no error")
	}
	if _, err := d.Set(t.Context(), []haproxy.Change{{To: member(1, haproxy.Ready)}}); err == nil {
		t.Error("no haproxy, and no error")
	}
}

func TestAnAnswerCutShortIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	s := socket(path)
	if stats, err := s.stats(t.Context(), haproxy.Frontend, haproxy.Backend); err == nil {
		t.Errorf("nothing was answered, and read as %+v", stats)
	}
	if servers, err := s.servers(t.Context(), haproxy.Backend); err == nil {
		t.Errorf("nothing was answered, and read as %v", servers)
	}
}

func TestHAProxysRefusalsAreReported(t *testing.T) {
	d, _ := start(t, 1)
	_, err := d.Set(t.Context(), []haproxy.Change{{To: member(999, haproxy.Ready)}})
	if err == nil || !strings.Contains(err.Error(), "No such server") {
		t.Errorf("setting a server that is not there says %v", err)
	}
}

func TestNothingButAnIPAddressReachesTheSocket(t *testing.T) {
	d, _ := newDataPlane(t)
	for _, address := range []string{"localhost", "::1%x;disable frontend front_http_plain;#", "1.2.3.4;help"} {
		to := member(1, haproxy.Ready)
		to.Address = address
		_, err := d.Set(t.Context(), []haproxy.Change{{To: to}})
		if err == nil || !strings.Contains(err.Error(), "is not an IP address") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestParseServersRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, answer := range []string{"", "2\n# be_id\n", "1\nshort line\n", "1\n3 b 1 s1 127.0.0.1 2 x 1 1 9 1 0 0 14 0 0 0 - 80 - 0 0 - - 0"} {
		if servers, err := parseServers(answer); err == nil {
			t.Errorf("%q is read as %+v", answer, servers)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
