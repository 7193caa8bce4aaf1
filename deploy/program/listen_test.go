package program

import (
	"errors"
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
