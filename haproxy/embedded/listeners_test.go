package embedded

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zatoha/haproxy"
)

func TestTheListenersAreHAProxysOwn(t *testing.T) {
	d, paths := newDataPlane(t)
	d.options.Yields = true
	serve(t, d, paths, 1)
	front := netip.MustParseAddrPort(d.options.Bind)
	listeners, err := Listeners(t.Context(), paths.Stats(), []uint16{front.Port()})
	if err != nil {
		t.Fatal(err)
	}
	for _, listener := range listeners {
		if address, err := unix.Getsockname(listener); err != nil || address.(*unix.SockaddrInet4).Port != int(front.Port()) {
			t.Errorf("a listener is at %v, %v", address, err)
		}
		if flags, err := unix.FcntlInt(uintptr(listener), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("haproxy's listener blocks: %#x, %v", flags, err)
		}
		if err := unix.Close(listener); err != nil {
			t.Error(err)
		}
	}
	conn, err := net.Dial("tcp", front.String())
	if err != nil {
		t.Fatalf("haproxy does not listen any more: %v", err)
	}
	conn.Close()
	if listeners, err := Listeners(t.Context(), paths.Stats(), []uint16{1}); err == nil || !strings.Contains(err.Error(), "listens at none of the ports [1]") {
		t.Errorf("at another port: %v, %v", listeners, err)
	}
	if listeners, err := Listeners(t.Context(), paths.Stats()+".none", []uint16{front.Port()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no haproxy: %v, %v", listeners, err)
	}
}

func TestConnectionsAreClosedBehindTheirAnswersWhileTheirAddressIsAnnounced(t *testing.T) {
	for listen, hosts := range map[string][]string{"127.0.0.1": {"127.0.0.1"}, "::": {"127.0.0.1", "::1"}} {
		t.Run(listen, func(t *testing.T) {
			d, paths := newDataPlane(t)
			_, port, _ := net.SplitHostPort(d.options.Bind)
			d.options.Bind, d.options.Yields = net.JoinHostPort(listen, port), true
			probe, err := net.Listen("tcp", d.options.Bind)
			if err != nil {
				t.Skipf("no such address here: %v", err)
			}
			probe.Close()
			serve(t, d, paths, 1)
			if able, err := Yields(t.Context(), paths.Stats()); err != nil || !able {
				t.Errorf("it can be told: %v, %v", able, err)
			}
			for _, host := range hosts {
				closedWhileAnnounced(t, paths.Stats(), host, port)
			}
		})
	}
}

// closedWhileAnnounced wants connections to a host to be closed only while it is the address that is announced.
func closedWhileAnnounced(t *testing.T, statsSocket, host, port string) {
	t.Helper()
	closes := func() bool {
		response, err := http.Get("http://" + net.JoinHostPort(host, port) + haproxy.AliveURI)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.Close
	}
	if closes() {
		t.Errorf("connections to %s are closed unasked", host)
	}
	for _, address := range []string{host, "10.0.0.1", host, ""} {
		announced, _ := netip.ParseAddr(address)
		if err := Announce(t.Context(), statsSocket, announced); err != nil {
			t.Fatal(err)
		}
		if got, want := closes(), address == host; got != want {
			t.Errorf("with %q announced, a connection to %s being closed is %v", address, host, got)
		}
	}
}

func TestAnHAProxyThatWasNotMadeForItCannotBeTold(t *testing.T) {
	d, paths := newDataPlane(t)
	serve(t, d, paths, 1)
	if able, err := Yields(t.Context(), paths.Stats()); err != nil || able {
		t.Errorf("%v, %v", able, err)
	}
	if _, err := Yields(t.Context(), paths.Stats()+".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no haproxy: %v", err)
	}
}
