package consul

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestNewAddress(t *testing.T) {
	for _, test := range []struct {
		address string
		fault   string // part of the error; empty: none
	}{
		{"127.0.0.1:8500", ""},
		{"consul.example", ""},
		{"[::1]:8500", ""},
		{"http://127.0.0.1:8500", ""},
		{"https://consul.example:8501/prefix", ""},
		{"unix:///run/consul.sock", ""},
		{"127.0.0.1:http", "invalid port"},
		{"127.0.0.1:0", "port 0"},
		{"127.0.0.1:65536", "port 65536"},
		{"::1:8500", "invalid port"},
		{"ftp://127.0.0.1", `scheme "ftp"`},
		{"http://", "names no host"},
		{":8500", "names no host"},
		{"not an address", "invalid character"},
		{"unix://run/consul.sock", "no absolute socket path"},
		{"http://user:secret@127.0.0.1:8500", "CONSUL_HTTP_AUTH"},
	} {
		for _, by := range []string{"argument", "environment"} {
			t.Run(by+" "+test.address, func(t *testing.T) {
				argument := test.address
				if by == "environment" {
					t.Setenv("CONSUL_HTTP_ADDR", test.address)
					argument = ""
				} else {
					t.Setenv("CONSUL_HTTP_ADDR", "overridden:1")
				}
				client, err := New(argument)
				if test.fault == "" {
					if err != nil || client.Address() != test.address {
						t.Fatalf("client %+v, error %v", client, err)
					}
					return
				}
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range []string{test.fault, "CONSUL_HTTP_ADDR", "host:port"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not contain %q", err, part)
					}
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("%q tells the secret", err)
				}
			})
		}
	}
}

func TestNewRefusesABadEnvironment(t *testing.T) {
	t.Setenv("CONSUL_CACERT", "testdata/no-such-file.pem")
	if _, err := New(""); err == nil || !strings.Contains(err.Error(), "no-such-file.pem") ||
		!strings.Contains(err.Error(), "check the CONSUL_* environment") {
		t.Errorf("error %v", err)
	}
}

func TestTokenOfTheEnvironmentIsSent(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "a-token")
	var got string
	client := stub{"GET /v1/status/leader": func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("X-Consul-Token")
		says(http.StatusOK, `"127.0.0.1:8300"`)(w, r)
	}}.client(t)
	if err := client.Ping(t.Context()); err != nil || got != "a-token" {
		t.Errorf("token %q, error %v", got, err)
	}
}

func TestPing(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		is     error
		says   string // part of the error; empty: no error
	}{
		{"leader", says(http.StatusOK, `"127.0.0.1:8300"`), nil, ""},
		{"no leader", says(http.StatusOK, `""`), ErrNoLeader, "raft list-peers"},
		{"no leader, by an error", says(http.StatusInternalServerError, "No cluster leader"), nil, "raft list-peers"},
		{"forbidden", says(http.StatusForbidden, "Permission denied"), nil, "CONSUL_HTTP_TOKEN"},
		{"just started", says(http.StatusForbidden, "ACL system must be bootstrapped before making any requests that require authorization: ACL not found"), nil, "knows no token until there is a leader"},
		{"not a Consul", says(http.StatusOK, "<html>"), nil, "check that a Consul agent answers there"},
		{"hung", hangs, context.DeadlineExceeded, "check that a Consul agent answers there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := stub{"GET /v1/status/leader": test.answer}.client(t)
			err := client.Ping(t.Context())
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), client.Address()) {
				t.Errorf("%v does not contain %q and the address", err, test.says)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
}

// A blocked query must not hold up a call: each has its own connection.
func TestCallsPassBlockedQueries(t *testing.T) {
	blocked := make(chan struct{}, 100)
	client := stub{
		"GET /v1/health/service/web": inTurn(
			says(http.StatusOK, "[]", "X-Consul-Index: 5"),
			func(_ http.ResponseWriter, r *http.Request) {
				blocked <- struct{}{}
				<-r.Context().Done()
			}),
		"GET /v1/status/leader": says(http.StatusOK, `"127.0.0.1:8300"`),
	}.client(t)
	client.wait = time.Hour
	for range cap(blocked) / 2 {
		startWatch(t, client)
	}
	for range cap(blocked)/2 - 1 { // the first of inTurn's answers goes to one watch only
		<-blocked
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
