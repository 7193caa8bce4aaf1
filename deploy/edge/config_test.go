package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"zatoha/haproxy"
	"zatoha/haproxy/edit"
)

var update = flag.Bool("update", false, "rewrite the files that are shipped")

// config is what a command line makes of the flags.
func config(t *testing.T, args ...string) (*configCommand, error) {
	t.Helper()
	g, err := parsed(t, append([]string{"config"}, args...)...)
	return &g.Make, err
}

func parsed(t *testing.T, args ...string) (*grammar, error) {
	t.Helper()
	g := &grammar{}
	parser, err := kong.New(g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return g, err
}

func TestTheFlagsHaveTheDefaultsOfTheEdge(t *testing.T) {
	flags, err := config(t, "--clusters=a=10.0.1.1:11223")
	if err != nil {
		t.Fatal(err)
	}
	got, want := flags.edge(), haproxy.DefaultEdge()
	got.Clusters = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the flags say\n%+v\nthe edge\n%+v", got, want)
	}
}

func TestTheWatchHasTheEdgesTimeForConnecting(t *testing.T) {
	g, err := parsed(t, "watch", "--state-file=/x")
	if want := haproxy.DefaultEdge().ConnectTimeout; err != nil || g.Watch.ConnectTimeout != want {
		t.Errorf("%v, want %v: %v", g.Watch.ConnectTimeout, want, err)
	}
}

func TestClustersAreRead(t *testing.T) {
	flags, err := config(t, "--clusters=a=10.0.1.1:11223,b=[fd00::1]:1", "--standby")
	want := []haproxy.Cluster{{Name: "a", Address: "10.0.1.1:11223"}, {Name: "b", Address: "[fd00::1]:1"}}
	if err != nil || !flags.edge().Standby || !reflect.DeepEqual(flags.edge().Clusters, want) {
		t.Errorf("%v: %+v", err, flags.edge().Clusters)
	}
}

func TestBadFlagsAreRefusedByName(t *testing.T) {
	for _, args := range []string{
		"--clusters=a", "--clusters=a=b", "--clusters=a=10.0.0.1", "--clusters=a=10.0.0.1:0", "--clusters=a=0.0.0.0:1", "--clusters=a.b=10.0.0.1:1",
		"--clusters=a=10.0.0.1:1,b=10.0.0.1:1", "--clusters=a=10.0.0.1:1,a=10.0.0.2:1", "--clusters=", "--standby", "--tls-listen=:443", "--https-redirect=443", "--hsts=1h",
		"--socket=edge.sock", "--virtual-address=0.0.0.0", "--virtual-address=fe80::1%eth0", "--virtual-address=x", "--state-file=x", "--admin-listen=0.0.0.0:1", "--admin-listen=lb:1",
		"--metrics-listen=x", "--metrics-listen=", "--metrics-listen=0.0.0.0:11223", "--metrics-listen=10.0.9.1:11223",
		"--tls-listen=10.0.9.1:11223 --tls-cert=/x.pem", "--admin-listen=10.0.9.1:11223", "--metrics-listen=10.0.9.1:9999 --admin-listen=10.0.9.1:9999",
		"--listen=10.0.9.1:11223 --virtual-address=10.0.9.100", "--listen=10.0.9.100:11223 --virtual-address=10.0.9.100",
		"--tls-listen=10.0.9.1:443 --tls-cert=/x.pem --virtual-address=10.0.9.100", "--listen=:11223 --virtual-address=fd00::100",
		"--hide-paths=x", "--trusted-proxies=x", "--rate-limit=x",
		"--ssl-min-ver=TLSv1.3", "--http-restrict-req-hdr-names=x", "--retry-on=502", "--check-fall=0", "--check-fastinter=1s", "--check-downinter=1ms",
		"--cluster-maxconn=0", "--retries=11", "--buffer-size=1", "--server-timeout=0s", "--return-after=-1s", "--check-interval=1ms",
	} {
		words := strings.Fields(args)
		if !strings.HasPrefix(args, "--clusters") {
			words = append(words, "--clusters=a=10.0.1.1:11223")
		}
		_, err := config(t, words...)
		name, _, _ := strings.Cut(words[0], "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, err := parsed(t, "watch", "--state-file=/x", "--connect-timeout=0s"); err == nil || !strings.Contains(err.Error(), "--connect-timeout") {
		t.Error(err)
	}
	if _, err := parsed(t, "status", "--masters=10.0.9.2:9998"); err == nil || !strings.Contains(err.Error(), "--masters") {
		t.Error(err)
	}
	for _, socket := range []string{"", "x", "host:0"} {
		if _, err := config(t, "--clusters=a=10.0.1.1:1", "--sockets="+socket); err == nil || !strings.Contains(err.Error(), "--sockets") {
			t.Errorf("--sockets=%s: %v", socket, err)
		}
	}
}

func TestTheChosenDirectivesAreApplied(t *testing.T) {
	flags, err := config(t, "--clusters=a=10.0.1.1:11223", "--tls-listen=:443", "--tls-cert=/x.pem", "--ssl-min-ver=TLSv1.3", "--http-restrict-req-hdr-names=delete",
		"--no-http-buffer-request", "--retry-on=conn-failure,503", "--check-fall=3", "--check-fastinter=20ms", "--check-downinter=2s")
	if err != nil {
		t.Fatal(err)
	}
	e := flags.edge()
	if e.TLS.MinVersion != "TLSv1.3" || e.HeaderNames != "delete" || e.BufferRequest || !reflect.DeepEqual(e.RetryOn, []string{"conn-failure", "503"}) {
		t.Errorf("%+v", e)
	}
	if e.CheckFall != 3 || e.CheckFastInterval != 20*time.Millisecond || e.CheckDownInterval != 2*time.Second {
		t.Errorf("%+v", e)
	}
}

func TestTheMetricsMayBeOff(t *testing.T) {
	for flag, want := range map[string]string{"off": "", "10.0.9.1:9101": "10.0.9.1:9101", ":9101": ":9101"} {
		flags, err := config(t, "--clusters=a=10.0.1.1:11223", "--metrics-listen="+flag)
		if err != nil || flags.edge().MetricsListen != want {
			t.Errorf("--metrics-listen=%s: %q, %v", flag, flags.edge().MetricsListen, err)
		}
	}
}

func TestTheFileKeepsWhatIsNotOurs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	state := filepath.Join(t.TempDir(), "edge.state")
	const theirs = "global\n    maxconn 500\n"
	if err := os.WriteFile(file, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		flags, err := config(t, "--clusters=a=10.0.1.1:11223", "--state-file", state, "--write", file)
		if err != nil {
			t.Fatal(err)
		}
		if err := flags.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), theirs) || strings.Count(string(text), "server a 10.0.1.1:11223") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
	if is, err := os.ReadFile(state); err != nil || string(is) != noState {
		t.Errorf("the state file: %q, %v", is, err)
	}
	flags, err := config(t, "--clusters=a=10.0.1.1:11223", "--write", filepath.Join(file, "x"))
	if err == nil {
		err = flags.Run(context.Background())
	}
	if err == nil || !strings.Contains(err.Error(), "--write") {
		t.Error(err)
	}
}

// shipped are the files beside this one, and the command lines that make them.
var shipped = map[string][]string{
	"active-active.cfg":  {"--clusters=a=10.0.1.10:11223,b=10.0.2.10:11223", "--state-file=/var/lib/zatoha-edge/state"},
	"active-standby.cfg": {"--clusters=a=10.0.1.10:11223,b=10.0.2.10:11223", "--standby", "--state-file=/var/lib/zatoha-edge/state"},
}

func TestTheShippedFilesAreWhatTheFlagsMake(t *testing.T) {
	for name, args := range shipped {
		flags, err := config(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		text, err := edit.Apply("# Made by: edge config "+strings.Join(args, " ")+"\n", flags.edge().Sections())
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		is, err := os.ReadFile(name)
		if err != nil || string(is) != text {
			t.Errorf("%s is not that (%v); go test ./deploy/edge -update writes it:\n%s", name, err, text)
		}
	}
}

func TestHAProxyTakesTheShippedFiles(t *testing.T) {
	binary := findHAProxy(t)
	dir := t.TempDir()
	state, file := filepath.Join(dir, "edge.state"), filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(state, []byte(noState), 0o600); err != nil {
		t.Fatal(err)
	}
	for name := range shipped {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), "/var/lib/zatoha-edge/state", state))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		output, err := exec.CommandContext(t.Context(), binary, "-c", "-f", file).CombinedOutput()
		if err != nil || strings.Contains(string(output), "[WARNING]") {
			t.Errorf("%s: %v: %s", name, err, output)
		}
	}
}
