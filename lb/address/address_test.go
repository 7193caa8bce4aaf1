package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bound = 10 * time.Second

// eventually tries until the condition holds; its error says what does not.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(bound)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", bound, err)
		}
		<-poll.C
	}
}

func TestTheFileSaysHowHAProxyDoes(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusOK)
	haproxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer haproxy.Close()
	files := Files{Dir: t.TempDir()}
	var leader atomic.Bool
	leader.Store(true)
	outlook := &Outlook{Peers: []string{"no address"}, Leader: func(context.Context) error {
		if !leader.Load() {
			return errors.New("there is no leader")
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Track(ctx, NewMonitor(haproxy.URL), outlook, files, zerolog.Nop()) }()
	expect := func(value int) {
		t.Helper()
		eventually(t, func() error {
			text, err := os.ReadFile(files.Value())
			if err == nil && string(text) != fmt.Sprintf("%d\n", value) {
				err = fmt.Errorf("the file says %q, want %d", text, value)
			}
			return err
		})
	}
	expect(Fault)
	expect(Good)
	if err := os.Remove(files.Value()); err != nil {
		t.Fatal(err)
	}
	expect(Good)
	leader.Store(false)
	expect(Alone)
	leader.Store(true)
	expect(Good)
	if err := files.SetYielded(true); err != nil {
		t.Fatal(err)
	}
	expect(Yielded)
	status.Store(http.StatusServiceUnavailable)
	expect(Empty + Yielded)
	for range 2 {
		if err := files.SetYielded(false); err != nil {
			t.Fatal(err)
		}
	}
	expect(Empty)
	haproxy.CloseClientConnections()
	haproxy.Listener.Close()
	expect(Fault)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOnlyAStartOfTheMachineHasHAProxyProveItself(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		before   string
		modified time.Time
		first    int
	}{
		"another process was here":     {"0\n", now, Good},
		"it had found HAProxy dead":    {"-254\n", now, Fault},
		"it had found no server":       {"-20\n", now, Empty},
		"the machine was started anew": {"0\n", time.Unix(1, 0), Fault},
		"the clock has been put back":  {"0\n", now.Add(time.Hour), Fault},
		"somebody has written words":   {"good\n", now, Fault},
	} {
		t.Run(name, func(t *testing.T) {
			files := Files{Dir: t.TempDir()}
			if err := errors.Join(os.WriteFile(files.Value(), []byte(c.before), 0o644), os.Chtimes(files.Value(), c.modified, c.modified)); err != nil {
				t.Fatal(err)
			}
			told := make(chan string, 3) // what keepalived is told at each of the first questions
			haproxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				text, _ := os.ReadFile(files.Value()) // no text is wrong too
				select {
				case told <- string(text):
				default:
				}
			}))
			defer haproxy.Close()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- Track(ctx, NewMonitor(haproxy.URL), &Outlook{}, files, zerolog.Nop()) }()
			for i := range cap(told) {
				if got := <-told; got != fmt.Sprintf("%d\n", c.first) {
					t.Errorf("at question %d keepalived is told %q, want %d", i+1, got, c.first)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhoSeesAnotherIsNotAlone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	outlook := &Outlook{Peers: []string{"no address", address}, Leader: func(context.Context) error { return errors.New("there is no leader") }}
	if !outlook.seesAnyone(t.Context()) {
		t.Error("a peer that listens is not seen")
	}
	listener.Close()
	if !outlook.seesAnyone(t.Context()) {
		t.Error("a peer that refuses is not seen")
	}
	outlook.Peers = outlook.Peers[:1]
	if outlook.seesAnyone(t.Context()) {
		t.Error("who sees nobody is not alone")
	}
}

func TestBeingCutOffCountsSoonAndBeingBackLater(t *testing.T) {
	now, s := time.Unix(0, 0), settled{}
	for i, step := range []struct {
		after         time.Duration
		alone, counts bool
	}{
		{0, false, false},
		{0, true, false},
		{cutOffAfter, true, true},
		{0, false, true},
		{backAfter - 1, false, true},
		{0, true, true},
		{0, false, true},
		{backAfter, false, false},
	} {
		now = now.Add(step.after)
		if got := s.hear(now, step.alone); got != step.counts {
			t.Errorf("step %d: %v", i+1, got)
		}
	}
}

func TestAFileThatCannotBeWrittenIsAnError(t *testing.T) {
	if err := Track(t.Context(), NewMonitor("http://127.0.0.1:1"), &Outlook{}, Files{Dir: "/nowhere"}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "tell keepalived") {
		t.Error(err)
	}
}

func TestConnectionsAreReadAsTheKernelWritesThem(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	table := heading +
		"   0: 00000000:2BD7 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n" + // listens
		"   1: FE00CB0A:2BD7 0900CB0A:8235 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n" + // established
		"   2: FE00CB0A:2BD7 0900CB0A:8236 05 00000000:00000000 00:00000000 00000000     0        0 3 1\n" + // has said all
		"   3: FE00CB0A:2BD8 0900CB0A:8237 01 00000000:00000000 00:00000000 00000000     0        0 4 1\n" + // another port
		"   4: 0100CB0A:2BD7 0900CB0A:8238 01 00000000:00000000 00:00000000 00000000     0        0 5 1\n" + // another address
		"   5: FE00CB0A:2BD7 0900CB0A:8239 03 00000000:00000000 01:00000063 00000000     0        0 0 1\n" // begins
	virtual := netip.MustParseAddr("10.203.0.254")
	got, err := connections(table, virtual, []uint16{11223})
	want := []netip.AddrPort{netip.MustParseAddrPort("10.203.0.9:33333"), netip.MustParseAddrPort("10.203.0.9:33337")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	sixth := heading + "   0: 0000000000000000FFFF0000FE00CB0A:2BD7 0000000000000000FFFF00000900CB0A:8235 01 0:0 0:0 0 0 0 1 1\n" +
		"   1: 000000FD000000000000000064000000:2BD7 000000FD000000000000000009000000:8235 04 0:0 0:0 0 0 0 1 1\n"
	if got, err := connections(sixth, virtual, []uint16{11223}); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("of IPv4 in IPv6: %v, %v", got, err)
	}
	if got, err := connections(sixth, netip.MustParseAddr("fd00::64"), []uint16{11223}); err != nil || len(got) != 1 || got[0].String() != "[fd00::9]:33333" {
		t.Errorf("of IPv6: %v, %v", got, err)
	}
	for _, bad := range []string{"1: 2 3", "1: FE00CB0A 0900CB0A:8235 01", "1: FE00CB:2BD7 0900CB0A:8235 01", "1: FE00CB0A:2BD7 X:8235 01", "1: FE00CB0A:FFFFF 0900CB0A:8235 01"} {
		if got, err := connections(heading+bad, virtual, []uint16{11223}); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

// TestAGateKeepsNewConnectionsOutAndHarmsNoOther uses the kernel's own loopback addresses, 127.0.0.1 and 127.0.0.2.
func TestAGateKeepsNewConnectionsOutAndHarmsNoOther(t *testing.T) {
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // as HAProxy does
	listener, err := config.Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	dial := func(host string, patience time.Duration) error {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", host, port), patience)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	gate := Gate{Address: netip.MustParseAddr("127.0.0.2"), Listeners: []int{descriptor(t, listener)}}
	before, err := net.Dial("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // to shut what is shut is no fault
		if err := gate.Shut(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := dial("127.0.0.2", 200*time.Millisecond); err == nil {
		t.Error("a connection has begun through the gate")
	} else if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
		t.Errorf("who tries does not hear nothing, but: %v", err)
	}
	if err := dial("127.0.0.1", bound); err != nil {
		t.Errorf("another address is shut too: %v", err)
	}
	if open, err := Connections(gate.Address, []uint16{uint16(port)}); err != nil || !slices.Contains(open, before.LocalAddr().(*net.TCPAddr).AddrPort()) {
		t.Errorf("open are %v, %v", open, err)
	}
	if _, err := before.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := before.Close(); err != nil {
		t.Error(err)
	}
	// Who tries while it is shut gets through when it is opened: TCP tries again after a second.
	through := make(chan error, 1)
	go func() { through <- dial("127.0.0.2", bound) }()
	for range 2 {
		if err := gate.Shut(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-through; err != nil {
		t.Error(err)
	}
	if err := gate.Close(); err != nil {
		t.Error(err)
	}
	listener.Close()
	<-served
}

// descriptor is another descriptor of a listener's socket.
func descriptor(t *testing.T, listener net.Listener) (other int) {
	t.Helper()
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var dupErr error
	if err := raw.Control(func(fd uintptr) { other, dupErr = unix.Dup(int(fd)) }); err != nil || dupErr != nil {
		t.Fatal(err, dupErr)
	}
	return other
}

func TestWhichAddressesAreHere(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "192.0.2.1": false} {
		if here, err := Here(netip.MustParseAddr(address)); err != nil || here != want {
			t.Errorf("%s: %v, %v", address, here, err)
		}
	}
}

func TestNoGateForNoAddress(t *testing.T) {
	for _, address := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0")} {
		if err := (Gate{Address: address}).Shut(true); err == nil {
			t.Errorf("a gate for %s", address)
		}
	}
}
