package program

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestWhereAListenerIsReached(t *testing.T) {
	for _, test := range []struct {
		listening              string
		flag                   HostPort
		advertised, fromItself HostPort // "" for an address of the machine
	}{
		{"127.0.0.1:17010", "", "127.0.0.1:17010", "127.0.0.1:17010"},
		{"[::1]:17010", "", "[::1]:17010", "[::1]:17010"},
		{"10.0.0.7:17010", "web-1:80", "web-1:80", "10.0.0.7:17010"},
		{"0.0.0.0:17010", "", "", "localhost:17010"},
		{"[::]:17010", "", "", "localhost:17010"},
	} {
		listening := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.listening))
		advertised := Advertised(listening, test.flag)
		if test.advertised == "" && (Unspecified(advertised.Host()) || advertised.Port() != 17010) || test.advertised != "" && advertised != test.advertised {
			t.Errorf("%s is advertised as %s", listening, advertised)
		}
		if own := Reachable(listening); own != test.fromItself {
			t.Errorf("%s is reached at %s", listening, own)
		}
	}
}

func TestAProgramAsksItself(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	for path, want := range map[string]int{"/ping": http.StatusOK, "/": http.StatusTeapot} {
		if status, err := AskSelf(t.Context(), server.Listener.Addr(), path); status != want || err != nil {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	server.Close()
	if _, err := AskSelf(t.Context(), server.Listener.Addr(), "/ping"); err == nil {
		t.Error("nobody is there, and nothing is said")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := AskSelf(ended, server.Listener.Addr(), "/ping"); err == nil {
		t.Error("asked though there is no time")
	}
}
