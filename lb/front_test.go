package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"zatoha/haproxy"
)

// front is what a command line makes of the flags.
func front(t *testing.T, args ...string) (*frontFlags, error) {
	t.Helper()
	var grammar struct{ frontFlags }
	parser, err := kong.New(&grammar)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &grammar.frontFlags, err
}

func TestTheFlagsHaveTheDefaultsOfTheOptions(t *testing.T) {
	flags, err := front(t)
	if err != nil {
		t.Fatal(err)
	}
	got, want := haproxy.Options{Bind: haproxy.DefaultOptions().Bind, CheckURI: haproxy.DefaultOptions().CheckURI}, haproxy.DefaultOptions()
	flags.apply(&got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the flags say\n%+v\nthe options\n%+v", got, want)
	}
}

func TestTheFlagsAreApplied(t *testing.T) {
	flags, err := front(t, "--tls-listen=:443", "--tls-cert=/etc/front.pem", "--https-redirect=443", "--hsts=8760h",
		"--rate-limit=100/10s", "--access-log=127.0.0.1:514", "--hide-paths=/a,/b/c", "--slowstart=5s", "--server-maxconn=7",
		"--trusted-proxies=10.0.9.1,fd00::/64", "--ssl-min-ver=TLSv1.3", "--http-restrict-req-hdr-names=delete", "--no-http-buffer-request",
		"--retry-on=conn-failure,503", "--check-fastinter=20ms", "--check-downinter=2s", "--check-fall=3", "--check-rise=4")
	if err != nil {
		t.Fatal(err)
	}
	var got haproxy.Options
	flags.apply(&got)
	if want := (haproxy.TLS{Bind: ":443", Certificate: "/etc/front.pem", RedirectPort: 443, HSTS: 8760 * time.Hour, MinVersion: "TLSv1.3"}); got.TLS != want {
		t.Errorf("TLS is %+v", got.TLS)
	}
	if want := (haproxy.RateLimit{Requests: 100, Period: 10 * time.Second}); got.RateLimit != want || got.AccessLog != "127.0.0.1:514" {
		t.Errorf("the rate limit is %v, the access log goes to %s", got.RateLimit, got.AccessLog)
	}
	if !reflect.DeepEqual(got.HidePaths, []string{"/a", "/b/c"}) || got.SlowStart != 5*time.Second || flags.ServerMaxConn != 7 {
		t.Errorf("got %+v", got)
	}
	if got.HeaderNames != "delete" || got.BufferRequest || !reflect.DeepEqual(got.RetryOn, []string{"conn-failure", "503"}) {
		t.Errorf("names: %s, buffering: %v, retries on %q", got.HeaderNames, got.BufferRequest, got.RetryOn)
	}
	if got.CheckFastInterval != 20*time.Millisecond || got.CheckDownInterval != 2*time.Second || got.CheckFall != 3 || got.CheckRise != 4 {
		t.Errorf("checks are %+v", got)
	}
	if fmt.Sprint(got.TrustedProxies) != "[10.0.9.1/32 fd00::/64]" {
		t.Errorf("trusted are %v", got.TrustedProxies)
	}
	if flags, err := front(t, "--hide-paths="); err != nil || len(flags.HidePaths) != 0 {
		t.Errorf("with nothing to hide, hidden is %q, %v", flags.HidePaths, err)
	}
}

func TestBadFlagsAreRefusedByName(t *testing.T) {
	for _, args := range []string{
		"--tls-listen=:443", "--tls-cert=/x.pem", "--https-redirect=443", "--hsts=1h",
		"--tls-listen=:443 --tls-cert=/x.pem --https-redirect=65536", "--tls-listen=:443 --tls-cert=/x.pem --hsts=1500ms",
		"--trusted-proxies=lb-1", "--trusted-proxies=0.0.0.0/0", "--rate-limit=100", "--access-log=yes", "--hide-paths=metrics", "--hide-paths=/", "--hide-paths=/a/", "--hide-paths=/a'b", "--hide-paths=/a,/b?c",
		"--maxconn=0", "--server-maxconn=-1", "--queue-limit=0", "--retries=11", "--buffer-size=1000", "--buffer-size=2000000",
		"--request-timeout=0s", "--client-timeout=1ms", "--keep-alive-timeout=-1s", "--queue-timeout=0s", "--connect-timeout=1us", "--server-timeout=1000h",
		"--ssl-min-ver=TLSv1.3", "--tls-listen=:443 --tls-cert=/x.pem --ssl-min-ver=TLSv1.1", "--http-restrict-req-hdr-names=drop",
		"--http-restrict-req-hdr-names=", "--http-buffer-request=maybe",
		"--retry-on=none", "--retry-on=all-retryable-errors", "--retry-on=503", "--retry-on=conn-failure,418", "--retry-on=conn-failure,503,503", "--retry-on=",
		"--check-fall=0", "--check-fall=11", "--check-rise=0", "--check-rise=101", "--check-fastinter=251ms", "--check-fastinter=1us", "--check-downinter=1ms",
		"--tunnel-timeout=0s", "--check-interval=1ms", "--check-timeout=0s", "--slowstart=-1s", "--hard-stop-after=0s",
	} {
		words := strings.Fields(args)
		_, err := front(t, words...)
		name, _, _ := strings.Cut(words[len(words)-1], "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestAPortIsForOneListener(t *testing.T) {
	if _, err := parsed(t, "run", "--listen=0.0.0.0:443", "--tls-listen=10.0.0.1:443", "--tls-cert=/x.pem"); err == nil || !strings.Contains(err.Error(), "--tls-listen: 10.0.0.1:443 is taken by --listen 0.0.0.0:443") {
		t.Error(err)
	}
	for want, args := range map[string][]string{
		"":                                   nil,
		"--admin-listen: 127.0.0.1:11223 is": {"--admin-listen=127.0.0.1:11223"},
		"--admin-listen: 0.0.0.0:443 is":     {"--tls-listen=10.0.0.1:443", "--tls-cert=/x.pem", "--admin-listen=0.0.0.0:443"},
	} {
		g, err := parsed(t, append([]string{"run"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Run.plane(g, zerolog.Nop(), func() {})
		if isConfig(err) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
		// An HAProxy of another machine has other ports.
		g.DataPlane.URL = "http://haproxy:5555"
		if _, err := g.Run.plane(g, zerolog.Nop(), func() {}); err == nil || strings.Contains(err.Error(), "--admin-listen") {
			t.Errorf("%q with an HAProxy of another machine: %v", args, err)
		}
	}
}

func TestEveryFaultIsReported(t *testing.T) {
	_, err := front(t, "--maxconn=0", "--server-timeout=0s", "--hsts=1h", "--hide-paths=x")
	for _, name := range []string{"--maxconn", "--server-timeout", "--hsts", "--hide-paths"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not among the faults: %v", name, err)
		}
	}
}
