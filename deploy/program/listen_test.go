package program

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestListenExplainsWhatCannotBeHad(t *testing.T) {
	listener, err := Listen("--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for address, want := range map[HostPort]string{
		HostPort(listener.Addr().String()): "is in use: stop the program that has it",
		"192.0.2.1:1":                      "choose an address of this machine",
	} {
		_, err := Listen("--listen", address)
		var bad *ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--listen: ") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestListenersThatShareAPortAreRefused(t *testing.T) {
	for _, c := range []struct {
		one, other HostPort
		clash      bool
	}{
		{"10.0.0.1:80", "10.0.0.1:80", true},
		{"10.0.0.1:80", "10.0.0.1:81", false},
		{"10.0.0.1:80", "10.0.0.2:80", false},
		{"0.0.0.0:80", "10.0.0.1:80", true},
		{"0.0.0.0:80", "10.0.0.1:81", false},
		{":80", "[::1]:80", true},
		{"[::]:80", "0.0.0.0:80", true},
		{"[fd00::1]:80", "[fd00:0::1]:80", true},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80", true},
		{"lb-1.example:80", "LB-1.example:80", true},
		{"lb-1.example:80", "lb-2.example:80", false},
		{"", "", false},
		{"", ":80", false},
		{"127.0.0.1:0", "127.0.0.1:0", false}, // any port, another one for each
	} {
		for _, pair := range [][2]HostPort{{c.one, c.other}, {c.other, c.one}} {
			err := Distinct(Listener{"--listen", pair[0]}, Listener{"--far", "192.0.2.1:9"}, Listener{"--tls-listen", pair[1]})
			var bad *ConfigError
			want := fmt.Sprintf("--tls-listen: %s is taken by --listen %s: choose another port", pair[1], pair[0])
			if c.clash && (!errors.As(err, &bad) || err.Error() != want) || !c.clash && err != nil {
				t.Errorf("%q beside %q: %v", pair[1], pair[0], err)
			}
		}
	}
}

func TestUnspecifiedHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "0.0.0.0": true, "::": true, "127.0.0.1": false, "::1": false, "a.example": false,
	} {
		if got := Unspecified(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"main": true, "a": true, "7": true, "a.b_c-d": true, "": false, "-a": false, ".a": false, "a/b": false, "a b": false, "ä": false, "a\n": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestWhereThisMachineReachesAListener(t *testing.T) {
	for address, want := range map[HostPort]HostPort{
		":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "10.0.0.7:80": "10.0.0.7:80", "[::1]:80": "[::1]:80", "a.example:80": "a.example:80",
	} {
		if got := address.Local(); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}
