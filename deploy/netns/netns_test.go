package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/tools/find"
)

// bound is generous: whatever takes longer is broken, however slow the machine.
const bound = 20 * time.Second

// network is a new network, closed when the test ends. Where there can be none, the test is skipped, aloud.
func network(t *testing.T) (context.Context, *Net) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	n, err := New(ctx)
	switch {
	case errors.Is(err, ErrNotPermitted), errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "":
		t.Skipf("SKIPPED: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return ctx, n
}

func add(ctx context.Context, t *testing.T, n *Net, name string) *Host {
	t.Helper()
	h, err := n.Add(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// greet makes a host say its name to whoever connects.
func greet(t *testing.T, h *Host) string {
	t.Helper()
	listener, err := h.Listen("tcp", net.JoinHostPort(h.Address.String(), "80"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, h.Name)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// hears says what a host hears at an address, in the time that a reachable one needs many times over.
func hears(ctx context.Context, h *Host, address string) string {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	conn, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		return "nothing"
	}
	defer conn.Close()
	text, _ := io.ReadAll(conn)
	return string(text)
}

func TestPartitionedHostsReachOnlyTheirOwn(t *testing.T) {
	ctx, n := network(t)
	hosts := map[string]*Host{}
	addresses := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		hosts[name] = add(ctx, t, n, name)
		addresses[name] = greet(t, hosts[name])
	}
	expect := func(when string, reach func(from, to string) bool) {
		t.Helper()
		for from, host := range hosts {
			for to, address := range addresses {
				want := "nothing"
				if reach(from, to) {
					want = to
				}
				if got := hears(ctx, host, address); got != want {
					t.Errorf("%s: %s hears %s of %s, want %s", when, from, got, to, want)
				}
			}
		}
	}
	all := func(string, string) bool { return true }
	expect("at first", all)
	if err := n.Partition(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	expect("parted", func(from, to string) bool { return (from == "c") == (to == "c") })
	if err := n.Partition(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	expect("parted twice", func(from, to string) bool { return from == to })
	if err := n.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	expect("healed", all)
	if err := n.Part(ctx, []string{"a"}, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	expect("with one way gone", func(from, to string) bool { return from == to || from == "c" || to == "c" })
	if err := n.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.Part(ctx, []string{"a"}, []string{"nobody"}); err == nil || !strings.Contains(err.Error(), `no host "nobody"`) {
		t.Errorf("parting from nobody: %v", err)
	}
	if err := n.Partition(ctx, "nobody"); err == nil || !strings.Contains(err.Error(), `no host "nobody"`) {
		t.Errorf("parting nobody: %v", err)
	}
}

func TestABadLinkLosesSomeOfWhatPasses(t *testing.T) {
	ctx, n := network(t)
	a, b := add(ctx, t, n, "a"), add(ctx, t, n, "b")
	conn, err := b.ListenPacket("udp", net.JoinHostPort(b.Address.String(), "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if greeting := hears(ctx, a, greet(t, b)); greeting != "b" { // and they know each other's hardware from then on
		t.Fatal(greeting)
	}
	if err := a.Impair(ctx, 0, 300); err != nil {
		t.Fatal(err)
	}
	out, err := a.Dial(ctx, "udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const rounds, each = 20, 100 // as many as a socket holds at a time
	came, buffer := 0, make([]byte, 10)
	for range rounds {
		for range each {
			if _, err := out.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for {
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, _, err := conn.ReadFrom(buffer); err != nil {
				break
			}
			came++
		}
	}
	if share := float64(came) / (rounds * each); share < 0.6 || share > 0.8 {
		t.Errorf("%d of %d came, want 70 %%", came, rounds*each)
	}
	if err := a.Impair(ctx, -1, 0); err == nil {
		t.Error("a negative delay is accepted")
	}
}

func TestABadLinkIsSlow(t *testing.T) {
	ctx, n := network(t)
	a, b := add(ctx, t, n, "a"), add(ctx, t, n, "b")
	address := greet(t, b)
	const delay = 50 * time.Millisecond
	switch err := a.Impair(ctx, delay, 0); {
	case errors.Is(err, ErrNoDelay):
		t.Skipf("SKIPPED: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	began := time.Now()
	if heard := hears(ctx, a, address); heard != "b" || time.Since(began) < delay {
		t.Errorf("heard %s after %v", heard, time.Since(began))
	}
	if err := n.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	if heard := hears(ctx, a, address); heard != "b" || time.Since(began) > delay {
		t.Errorf("healed, heard %s after %v", heard, time.Since(began))
	}
}

func TestAnUnpluggedHostIsAloneAndComesBack(t *testing.T) {
	ctx, n := network(t)
	a, b := add(ctx, t, n, "a"), add(ctx, t, n, "b")
	address := greet(t, a)
	if err := a.Unplug(ctx); err != nil {
		t.Fatal(err)
	}
	if got := hears(ctx, b, address); got != "nothing" {
		t.Errorf("b hears %s of a without a cable", got)
	}
	if link, err := a.Command(ctx, "ip", "link", "show", "eth0"); err != nil || !strings.Contains(link, "NO-CARRIER") {
		t.Errorf("a without a cable: %s, %v", link, err)
	}
	if err := a.Plug(ctx); err != nil {
		t.Fatal(err)
	}
	for hears(ctx, b, address) != "a" { // the kernel takes a while to see a carrier
		if ctx.Err() != nil {
			t.Fatal("b hears nothing of a with its cable again")
		}
	}
}

func TestADeadHostHasNoProcessesAndBootsEmpty(t *testing.T) {
	ctx, n := network(t)
	a, b := add(ctx, t, n, "a"), add(ctx, t, n, "b")
	log := filepath.Join(t.TempDir(), "sleeper.log")
	// Its child is on its own at once, as a daemon is.
	p, err := a.Start("sleeper", log, os.Environ(), "/bin/sh", "-c", `sleep 600 & echo $(hostname) pid $$; wait`)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Await(ctx, func(context.Context) error {
		if text, _ := os.ReadFile(log); !strings.HasPrefix(string(text), "a pid ") {
			return fmt.Errorf("it says %q", text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	processes := func() string {
		list, err := a.Command(ctx, "sh", "-c", "cat /proc/[0-9]*/comm")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for strings.Count(processes(), "sleep\n") != 1 { // the shell has forked, and its child has yet to become another program
		if ctx.Err() != nil {
			t.Fatalf("processes on a: %q", processes())
		}
	}
	if err := a.Dead(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		t.Fatal("a program outlived its host")
	}
	if _, err := a.Command(ctx, "true"); !errors.Is(err, errDead) {
		t.Errorf("a command on a dead host: %v", err)
	}
	if _, err := a.Dial(ctx, "tcp", "10.203.0.2:80"); !errors.Is(err, errDead) {
		t.Errorf("dialling from a dead host: %v", err)
	}
	if err := a.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if list := processes(); strings.Contains(list, "sleep\n") {
		t.Errorf("processes on a after its boot: %q", list)
	}
	if got := hears(ctx, b, greet(t, a)); got != "a" {
		t.Errorf("b hears %s of a after its boot", got)
	}
	if err := a.Boot(ctx); err == nil {
		t.Error("a host that runs can be booted")
	}
}

func TestAddresses(t *testing.T) {
	ctx, n := network(t)
	a := add(ctx, t, n, "a")
	virtual := n.Spare()
	if !a.Has(a.Address) || a.Has(virtual) {
		t.Errorf("a has its own address: %v, and another: %v", a.Has(a.Address), a.Has(virtual))
	}
	if _, err := a.Command(ctx, "ip", "addr", "add", virtual.String()+"/32", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	if !a.Has(virtual) {
		t.Errorf("a does not have %s", virtual)
	}
	for _, name := range []string{"a", "No name"} {
		if _, err := n.Add(ctx, name); err == nil {
			t.Errorf("a host %q was added", name)
		}
	}
}

// TestNothingOutlivesWhoMadeIt kills a process that has a network with programs on it.
func TestNothingOutlivesWhoMadeIt(t *testing.T) {
	if log := os.Getenv("ZATOHA_NETNS_CHILD"); log != "" {
		ctx, n := network(t)
		a := add(ctx, t, n, "a")
		// A daemon: no parent of its own, and no death signal.
		if _, err := a.Start("daemon", log, os.Environ(), "/bin/sh", "-c", `setsid sleep 600 & echo started`); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	ctx, _ := network(t) // or skipped
	log := filepath.Join(t.TempDir(), "child.log")
	environ := append(os.Environ(), "ZATOHA_NETNS_CHILD="+log)
	child, err := cluster.StartWithin(nil, "child", log+".test", environ, os.Args[0], "-test.run=TestNothingOutlivesWhoMadeIt")
	if err != nil {
		t.Fatal(err)
	}
	defer child.Kill()
	count := func() int { return len(daemons(t, log)) }
	await := func(wanted int) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for count() != wanted {
			select {
			case <-ctx.Done():
				t.Fatalf("there are %d daemons, want %d", count(), wanted)
			case <-tick.C:
			}
		}
	}
	await(1)
	child.Kill()
	await(0)
}

// daemons are the processes of this machine, in whatever namespace, that write to the log and sleep.
func daemons(t *testing.T, log string) (found []string) {
	t.Helper()
	outputs, err := filepath.Glob("/proc/[0-9]*/fd/1")
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range outputs {
		target, _ := os.Readlink(output)
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(output)), "comm"))
		if target == log && string(command) == "sleep\n" {
			found = append(found, output)
		}
	}
	return found
}
