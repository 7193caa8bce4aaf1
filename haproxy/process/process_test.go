package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"zatoha/deploy/freeport"
)

// fixture is an HAProxy with a monitor on a free port, its paths, and a channel that tells of every change.
type fixture struct {
	*Process
	paths   Paths
	url     string
	changes chan struct{}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on PATH: install the package haproxy to run this test")
	}
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{paths: Paths{Config: filepath.Join(dir, "haproxy.cfg"), Dir: dir}, changes: make(chan struct{}, 100)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := Stop(ctx, f.paths); err != nil {
			t.Errorf("stopping haproxy: %v", err)
		}
		os.RemoveAll(dir)
	})
	address := freeport.For(t)
	f.url = "http://" + address + "/"
	f.write(t, fmt.Sprintf("global\n\tstats socket %s mode 600 level admin expose-fd listeners\ndefaults\n\tmode http\n\ttimeout connect 1s\n"+
		"\ttimeout client 5s\n\ttimeout server 5s\nfrontend f\n\tbind %s\n\tmonitor-uri /\n", f.paths.Stats(), address))
	f.Process = New("haproxy", f.paths, zerolog.New(zerolog.NewTestWriter(t)), func() { f.changes <- struct{}{} })
	return f
}

func (f *fixture) write(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(f.paths.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run supervises until the returned function is called, which waits for the end.
func (f *fixture) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// await waits for a change after which the status is as wanted.
func (f *fixture) await(t *testing.T, want func(Status) bool) Status {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !want(f.Status()) {
		select {
		case <-f.changes:
		case <-deadline:
			t.Fatalf("haproxy's status stays %+v", f.Status())
		}
	}
	return f.Status()
}

func (f *fixture) serves(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(f.url)
	if err != nil {
		t.Fatalf("haproxy does not serve: %v", err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("haproxy answers %s", response.Status)
	}
}

func up(s Status) bool { return s.Worker != 0 }

func TestHAProxyOutlivesItsSupervisorAndIsAdopted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"))
	f := newFixture(t)
	stop := f.run(t)
	first := f.await(t, up)
	if first.Adopted {
		t.Error("a fresh start is called an adoption")
	}
	f.serves(t)
	stop()
	f.serves(t)

	second := New("haproxy", f.paths, zerolog.Nop(), func() { f.changes <- struct{}{} })
	f.Process = second
	stop = f.run(t)
	defer stop()
	adopted := f.await(t, up)
	if !adopted.Adopted || adopted.Master != first.Master || adopted.Worker != first.Worker {
		t.Errorf("adopted %+v, was %+v", adopted, first)
	}
}

// A controller that is told to end before it knows whether HAProxy serves leaves it alone, and starts none.
func TestAControllerThatEndsAtItsStartTouchesNothing(t *testing.T) {
	f := newFixture(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	successor := New("haproxy", f.paths, zerolog.Nop(), func() {})
	if _, err := successor.adoptOrStart(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with no HAProxy: %v", err)
	}
	if _, err := os.Stat(f.paths.Log()); !errors.Is(err, os.ErrNotExist) {
		t.Error("an HAProxy was started")
	}
	stop := f.run(t)
	first := f.await(t, up)
	stop()
	if _, err := successor.adoptOrStart(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with an HAProxy: %v", err)
	}
	f.serves(t)
	if found, err := showProc(t.Context(), f.paths.Master()); err != nil || found.Master != first.Master || found.Worker != first.Worker {
		t.Errorf("%+v, %v; was %+v", found, err, first)
	}
}

func TestAKilledHAProxyIsBack(t *testing.T) {
	for name, victim := range map[string]func(Status) int{
		"master": func(s Status) int { return s.Master },
		"worker": func(s Status) int { return s.Worker },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			stop := f.run(t)
			defer stop()
			before := f.await(t, up)
			if err := syscall.Kill(victim(before), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed := time.Now()
			after := f.await(t, func(s Status) bool { return up(s) && s.Restarts == 1 })
			t.Logf("back after %s", time.Since(killed))
			if after.Master == before.Master {
				t.Errorf("the master is still %d", after.Master)
			}
			f.serves(t)
		})
	}
}

func TestTheLogOfAnHAProxyThatDiedIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haproxy.log")
	add := func(text string) {
		t.Helper()
		file, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.WriteString(text)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(path, want string) {
		t.Helper()
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s has %d bytes, %v, want %d", path, len(text), err, len(want))
		}
	}
	long := strings.Repeat("x", longLog)
	add("why it died\n")
	add(long)
	holds(path, "why it died\n"+long)
	add("the next\n")
	holds(path, "the next\n")
	holds(path+".1", "why it died\n"+long)
}

func TestReloadBringsANewWorkerUnderTheSameMaster(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	defer stop()
	before := f.await(t, up)
	ctx, cancel := context.WithCancel(t.Context())
	looked := make(chan int)
	go func() { // somebody else looks all the time, as a controller would that starts now
		looks := 0
		for ; ctx.Err() == nil; looks++ {
			if !Running(ctx, f.paths) && ctx.Err() == nil {
				t.Error("in the middle of a reload, nobody seems to run")
				break
			}
		}
		looked <- looks
	}()
	for range 5 {
		if err := f.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	t.Logf("looked %d times", <-looked)
	after := f.Status()
	if after.Master != before.Master || after.Worker == before.Worker || after.Reloads != 5 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	f.serves(t)
}

// An operator has HAProxy run its new program by a signal to the master.
func TestAReloadOfSomebodyElsesIsSeen(t *testing.T) {
	f := newFixture(t)
	if status := f.Look(t.Context()); status != (Status{}) {
		t.Errorf("nobody runs, and seen is %+v", status)
	}
	stop := f.run(t)
	defer stop()
	before := f.await(t, up)
	if seen := f.Look(t.Context()); seen != before {
		t.Errorf("without a reload seen is %+v, was %+v", seen, before)
	}
	f.update(func(s *Status) { s.Version = "2.6.0" }) // the program that was adopted
	if err := syscall.Kill(before.Master, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(10 * time.Second); f.Look(t.Context()).Worker == before.Worker; {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("the status stays %+v", f.Status())
		}
	}
	after := f.Status()
	if found, err := showProc(t.Context(), f.paths.Master()); err != nil || after.Worker != found.Worker || after.Version != found.Version {
		t.Errorf("seen is %+v, and the master says %+v, %v", after, found, err)
	}
	if after.Master != before.Master || after.Since != before.Since || after.Reloads != 0 || after.Restarts != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestAMasterThatHangsCostsALookItsBoundAlone(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	defer stop()
	before := f.await(t, up)
	if err := syscall.Kill(before.Master, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(before.Master, syscall.SIGCONT) }()
	began := time.Now()
	if seen := f.Look(t.Context()); seen != before || time.Since(began) > commandTimeout {
		t.Errorf("after %s seen is %+v, was %+v", time.Since(began), seen, before)
	}
}

func TestAReloadThatHAProxyRefusesKeepsTheOldWorker(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	defer stop()
	before := f.await(t, up)
	f.write(t, "nonsense\n")
	err := f.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the reload says %v", err)
	}
	if after := f.Status(); after.Worker != before.Worker {
		t.Errorf("before %+v, after %+v", before, after)
	}
	f.serves(t)
}

func TestStopLeavesNothing(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	before := f.await(t, up)
	stop()
	if err := Stop(t.Context(), f.paths); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{f.paths.Master(), f.paths.Stats(), f.paths.PID()} {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", file)
		}
	}
	if conn, err := net.DialTimeout("tcp", strings.Trim(f.url, "htp:/"), time.Second); err == nil {
		conn.Close()
		t.Errorf("somebody still listens; it was %+v", before)
	}
	if err := Stop(t.Context(), f.paths); err != nil {
		t.Errorf("stopping what is stopped: %v", err)
	}
}

func TestABadConfigurationIsExplained(t *testing.T) {
	f := newFixture(t)
	f.write(t, "global\n\tbogus 1\n")
	err := Validate(t.Context(), "haproxy", f.paths.Config)
	if err == nil || !strings.Contains(err.Error(), "unknown keyword 'bogus'") {
		t.Errorf("validation says %v", err)
	}
	if _, err := f.start(t.Context()); err == nil || !strings.Contains(err.Error(), "bogus") {
		t.Errorf("the start says %v", err)
	}
}

func TestVersionsAreChecked(t *testing.T) {
	fake := func(t *testing.T, says string) string {
		path := filepath.Join(t.TempDir(), "haproxy")
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ says, want string }{
		{"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", ""},
		{"HAProxy version 3.0.1 2024/06/10", ""},
		{"HAProxy version 2.4.24-0ubuntu0.22.04.1 2023/10/31", "at least 2.6 is needed"},
		{"something else", "names no version"},
	} {
		err := CheckVersion(t.Context(), fake(t, c.says))
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%q: %v, want %q", c.says, err, c.want)
		}
	}
	if err := CheckVersion(t.Context(), "no-such-haproxy"); err == nil || !strings.Contains(err.Error(), "install") {
		t.Errorf("a missing binary: %v", err)
	}
}

func TestTheMasterIsFoundAmongAllProcesses(t *testing.T) {
	paths := Paths{Dir: "/run/zatoha"}
	const ours = "haproxy\x00-W\x00-S\x00/run/zatoha/haproxy-master.sock,mode,600\x00"
	type process struct{ pid, command, stat string }
	shell := process{"10", "sh\x00", "10 (sh) S 1 10 10 0"}
	for name, test := range map[string]struct {
		all     []process
		pid     int
		certain bool
	}{
		"nobody":                 {[]process{shell}, 0, true},
		"a master":               {[]process{shell, {"20", ours, "20 (hap) roxy) S 1 20 20 0"}}, 20, true},
		"its worker":             {[]process{{"21", ours, "21 (haproxy) S 20 21 20 0"}}, 0, true},
		"another's":              {[]process{{"20", "haproxy\x00-S\x00/run/other/haproxy-master.sock,mode,600\x00", "20 (haproxy) S 1 20 20 0"}}, 0, true},
		"one in an exec":         {[]process{{"20", "", "20 (haproxy) R 1 20 20 0"}}, 0, false},
		"one in an exec, and it": {[]process{{"19", "", "19 (sh) R 1 19 19 0"}, {"20", ours, "20 (haproxy) S 1 20 20 0"}}, 20, true},
		"a dead one":             {[]process{{"20", "", "20 (haproxy) Z 1 20 20 0"}}, 0, true},
		"a kernel's thread":      {[]process{{"2", "", "2 (kthreadd) S 0 0 0 0"}}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			for _, p := range test.all {
				dir := filepath.Join(proc, p.pid)
				if err := errors.Join(
					os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "cmdline"), []byte(p.command), 0o600),
					os.WriteFile(filepath.Join(dir, "stat"), []byte(p.stat), 0o600),
				); err != nil {
					t.Fatal(err)
				}
			}
			if pid, certain := paths.alive(proc); pid != test.pid || certain != test.certain {
				t.Errorf("%d, %v", pid, certain)
			}
		})
	}
}

func TestParseProc(t *testing.T) {
	const afterReload = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n" +
		"4296            master          2 [failed: 1]   0d00h00m10s     2.6.12-1+deb12u4\n# workers\n" +
		"4548            worker          0               0d00h00m01s     2.6.12-1+deb12u4\n# old workers\n" +
		"4299            worker          1               0d00h00m11s     2.6.12-1+deb12u4\n# programs\n\n"
	got, err := parseProc(afterReload)
	want := Processes{Master: 4296, Worker: 4548, Old: []int{4299}, Version: "2.6.12-1+deb12u4", Failed: 1}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "# nobody\n", "x master 0 1 2\n"} {
		if got, err := parseProc(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}
