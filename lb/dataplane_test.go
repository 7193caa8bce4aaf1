package main

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
)

const secret = "correct-horse"

// parsed is what a command line makes of the whole grammar.
func parsed(t *testing.T, args ...string) (*grammar, error) {
	t.Helper()
	var g grammar
	parser, err := kong.New(&g, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &g, err
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsThatMakeNoSenseTogetherAreRefusedByName(t *testing.T) {
	const url, user = "--dataplane-url=https://lb-1:5555", "--dataplane-user=zatoha"
	for args, says := range map[string][]string{
		url: {"--dataplane-user: is missing"},
		url + " " + user + " --haproxy-cfg=/etc/haproxy/haproxy.cfg": {"--haproxy-cfg: is about an HAProxy of this machine", "leave one of the two out"},
		url + " " + user + " --haproxy-bin=haproxy":                  {"--haproxy-bin: is about an HAProxy of this machine"},
		"--dataplane-url=http://lb-1 " + user + " --dataplane-ca=/ca.pem": {
			"--dataplane-ca: is of no use for an http URL",
		},
		user:                             {"--dataplane-user: is of no use alone"},
		"--dataplane-password-file=/p":   {"--dataplane-password-file: is of no use alone"},
		"--dataplane-ca=/ca.pem " + user: {"--dataplane-ca: is of no use alone", "--dataplane-user: is of no use alone"},
		"--dataplane-password=" + secret: {"unknown flag --dataplane-password"},
	} {
		_, err := parsed(t, strings.Fields(args)...)
		for _, text := range says {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", args, err, text)
			}
		}
	}
	for _, args := range []string{"", url + " " + user, url + " " + user + " --dataplane-ca=/ca.pem", "--haproxy-cfg=/x --haproxy-bin=/y"} {
		if _, err := parsed(t, strings.Fields(args)...); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestThePasswordComesFromAFileOrTheEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		file     *string
		variable string
		says     string // or else the password is ours
	}{
		"a file":                   {file: new(secret + "\n")},
		"a file without an end":    {file: new(secret)},
		"the environment":          {variable: secret},
		"none":                     {says: "--dataplane-password-file: there is no password"},
		"both":                     {file: new(secret), variable: secret, says: "ZATOHA_LB_DATAPLANE_PASSWORD has a password too"},
		"an empty file":            {file: new("\n"), says: "is empty: name a file"},
		"a file of something else": {file: new(secret + "\nx\n"), says: ": it has more than one line: name a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(passwordVariable, c.variable)
			flags := dataPlaneFlags{URL: "https://lb-1:5555", User: "zatoha"}
			if c.file != nil {
				flags.PasswordFile = written(t, *c.file)
			}
			config, err := flags.config(nil)
			if c.says == "" && (err != nil || config.Password() != secret) {
				t.Errorf("%+v, %v", config, err)
			}
			if c.says != "" {
				wantRefusal(t, err, c.says)
			}
		})
	}
	t.Setenv(passwordVariable, "")
	_, err := dataPlaneFlags{PasswordFile: filepath.Join(t.TempDir(), "none")}.config(nil)
	wantRefusal(t, err, "no such file or directory: name a file that this user may read")
}

// wantRefusal wants a fault of the configuration in one line that shows no password.
func wantRefusal(t *testing.T, err error, says string) {
	t.Helper()
	var bad *program.ConfigError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
		t.Errorf("%v does not say %q in one line", err, says)
	}
}

func behind(t *testing.T, url, ca string, tls haproxy.TLS) (*behindAPI, error) {
	t.Helper()
	t.Setenv(passwordVariable, secret)
	options := haproxy.DefaultOptions()
	options.TLS = tls
	return newBehindAPI(dataPlaneFlags{URL: url, User: "zatoha", CA: ca}, t.TempDir(), options, zerolog.Nop(), func() {})
}

func TestABadURLOrFileIsRefusedAtOnce(t *testing.T) {
	for _, c := range []struct {
		url, ca string
		tls     haproxy.TLS
		says    string
	}{
		{url: "lb-1:5555", says: "want one like https://lb-1:5555"},
		{url: "https://zatoha:" + secret + "@lb-1:5555", says: "has a user in it"},
		{url: "https://[::1", says: "cannot be read"},
		{url: "https://lb-1", ca: "/no/such/ca.pem", says: "the Data Plane API's CA file: "},
		{url: "https://lb-1", tls: haproxy.TLS{Bind: ":443", Certificate: "front.pem"}, says: "--tls-cert: front.pem is not an absolute path"},
	} {
		_, err := behind(t, c.url, c.ca, c.tls)
		wantRefusal(t, err, c.says)
	}
}

func TestWhatTheAPIRefusesIsConfigurationAndItsSilenceIsNot(t *testing.T) {
	for _, c := range []struct {
		status int
		config bool
	}{{401, true}, {404, true}, {302, true}, {500, false}, {503, false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, `{"message": "invalid password: `+secret+`"}`)
		}))
		plane, err := behind(t, server.URL, "", haproxy.TLS{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = plane.Saved()
		var bad *program.ConfigError
		if err = plane.refusal(err); errors.As(err, &bad) != c.config || !strings.Contains(err.Error(), server.URL) {
			t.Errorf("%d is %v", c.status, err)
		}
		server.Close()
	}
	plane, err := behind(t, "http://"+unused(t), "", haproxy.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = plane.Saved()
	var bad *program.ConfigError
	if err = plane.refusal(err); err == nil || errors.As(err, &bad) {
		t.Errorf("silence is %v", err)
	}
	if seen := plane.Look(t.Context()); seen.Reachable || seen.Running || seen.Err == nil || seen.Address != plane.place() {
		t.Errorf("of a silent API is seen %+v", seen)
	}
	if err := plane.refusal(context.Canceled); !errors.Is(err, context.Canceled) || errors.As(err, &bad) {
		t.Errorf("the end is %v", err)
	}
}

func TestTheAPIsCertificateMustBeSignedByTheCAThatIsGiven(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	ca := written(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	for file, says := range map[string]string{"": "--dataplane-ca: ", ca: "404 Not Found"} {
		plane, err := behind(t, secure.URL, file, haproxy.TLS{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = plane.Saved()
		wantRefusal(t, plane.refusal(err), says)
	}
}

func TestAPasswordThatTravelsUnencryptedIsWarnedOf(t *testing.T) {
	for url, warns := range map[string]bool{
		"http://192.0.2.1:5555": true, "http://lb-1:5555": true, "https://192.0.2.1:5555": false, "http://127.0.0.1:5555": false,
		"http://[::1]:5555": false, "http://localhost:5555": false,
	} {
		plane, err := behind(t, url, "", haproxy.TLS{})
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		plane.log = zerolog.New(&said)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := plane.run(ended, nil); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(said.String(), "travels unencrypted"); got != warns || strings.Contains(said.String(), secret) {
			t.Errorf("of %s it says %s", url, &said)
		}
	}
}

func TestAnAPIThatIsSlowToCountIsReachable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stats/native") {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `[{"info": {"pid": 42}}]`)
	}))
	defer server.Close()
	plane, err := behind(t, server.URL, "", haproxy.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	if seen := plane.Look(t.Context()); !seen.Reachable || !seen.Running || seen.Err == nil {
		t.Errorf("seen is %+v", seen)
	}
}

func TestAnAPIThatHangsIsSaidBeforeTheReaderOfTheStatusPageIsGone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	plane, err := behind(t, "http://"+listener.Addr().String(), "", haproxy.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if seen := plane.Look(bounded); seen.Reachable || seen.Running || bounded.Err() != nil {
		t.Errorf("%v, seen is %+v", bounded.Err(), seen)
	}
	if page := 3 * time.Second; statsTimeout+answerTimeout >= page {
		t.Errorf("the API is given %s and %s, the status page has %s", statsTimeout, answerTimeout, page)
	}
}

// unused is an address at which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestAnAPIWithoutHAProxyIsReachable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message": "unable to configure runtime client"}`, http.StatusInternalServerError)
	}))
	defer server.Close()
	plane, err := behind(t, server.URL, "", haproxy.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	if seen := plane.Look(t.Context()); !seen.Reachable || seen.Running {
		t.Errorf("seen is %+v", seen)
	}
	if plane.running(t.Context()) {
		t.Error("haproxy is said to run")
	}
}

func TestConsulIsToldWhereHAProxyIs(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		api, listen             string // no API is HAProxy of this machine
		machine, address, check string
	}{
		{"", ":11223", machine, "", "127.0.0.1"},
		{"", "0.0.0.0:11223", machine, "", "127.0.0.1"},
		{"", "10.0.0.9:11223", machine, "10.0.0.9", "10.0.0.9"},
		{"https://lb-1:5555", ":11223", "lb-1", "lb-1", "lb-1"},
		{"https://lb-1:5555", "10.0.0.9:11223", "lb-1", "10.0.0.9", "10.0.0.9"},
		{"http://127.0.0.1:5555", ":11223", machine, "", "127.0.0.1"},
		{"http://localhost:5555", ":11223", machine, "", "localhost"},
		{"http://[::1]:5555", ":11223", machine, "", "[::1]"},
	} {
		var at plane = localPlane(t, "haproxy", "")
		if c.api != "" {
			if at, err = behind(t, c.api, "", haproxy.TLS{}); err != nil {
				t.Fatal(err)
			}
		}
		s := settings{Listen: program.HostPort(c.listen)}
		if r := s.registration(at.about()); r.ID != "zato-lb-"+c.machine+"-11223" || r.Address != c.address || r.Check.URL != "http://"+c.check+":11223/zato-lb-alive" {
			t.Errorf("%+v is registered as %+v, %s", c, r, r.Check.URL)
		}
	}
}

func TestAnHAProxyOfSomebodyElsesIsNotStopped(t *testing.T) {
	g, err := parsed(t, "stop-haproxy", "--dataplane-url=https://lb-1:5555", "--dataplane-user=zatoha")
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, stopCommand{}.Run(t.Context(), zerolog.Nop(), g), "not ours to stop")
}
