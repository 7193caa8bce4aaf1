package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zatoha/haproxy"
	"zatoha/haproxy/conformance"
	"zatoha/haproxy/edit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func someOptions() haproxy.Options {
	options := haproxy.DefaultOptions()
	options.StatsSocket = replayDir + "/haproxy-stats.sock"
	return options
}

// memory is where a data plane remembers earlier designs.
func memory(t *testing.T) string { return filepath.Join(t.TempDir(), "api") }

func TestAStructureThatNobodyLoadedIsLoadedLater(t *testing.T) {
	var text string
	var posts []string
	worker, running := 42, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			posts = append(posts, r.URL.RawQuery)
			body, _ := io.ReadAll(r.Body)
			text = string(body)
			if running {
				worker++
			}
		case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
			answer(w, http.StatusOK, map[string]any{"_version": 7, "data": text})
		case !running:
			failed(500, "retry - unable to configure runtime client")(w, r)
		default:
			answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": worker}}})
		}
	}))
	defer server.Close()
	plane := connected(t, server.URL, someOptions(), memory(t))
	for i := range 4 { // written, and found written, without haproxy; reloaded, and found loaded, with it
		running = i >= 2
		done, err := plane.Prepare(t.Context(), conformance.Free(2))
		if err != nil {
			t.Fatal(err)
		}
		want := haproxy.Rewrite{}
		if i == 2 {
			want.Reload = haproxy.ReloadToSet // why it was written
		}
		if done != want {
			t.Errorf("call %d is said to have done %+v, want %+v", i, done, want)
		}
	}
	if want := "skip_reload=true&version=7 force_reload=true&version=7"; strings.Join(posts, " ") != want {
		t.Errorf("posted %q, want %q", posts, want)
	}
}

// stub is an API whose file is always the same, but for the answer to POST.
func stub(t *testing.T, text string, posted http.HandlerFunc) *DataPlane {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			posted(w, r)
		case strings.HasSuffix(r.URL.Path, "/configuration/raw"):
			answer(w, http.StatusOK, map[string]any{"_version": 7, "data": text})
		case strings.HasSuffix(r.URL.Path, "/runtime/info"):
			answer(w, http.StatusOK, []any{map[string]any{"info": map[string]any{"pid": 42}}})
		default:
			t.Errorf("unknown call %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)
	return connected(t, server.URL, someOptions(), memory(t))
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func failed(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, status, map[string]any{"code": status, "message": message})
	}
}

func TestFailedCallsSayWhatWhereAndTheRemedy(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"credentials", failed(401, "invalid password: "+password), "answers 401 Unauthorized: GET http://127.0.0.1"},
		{"credentials' remedy", failed(403, "forbidden for "+password), "see that user and password are those of its userlist"},
		{"too many transactions", failed(429, "limit reached"), "limit reached: it has too many open transactions: close them"},
		{"another program", failed(404, "path / was not found"), "see that the URL is that of a Data Plane API 2.x"},
		{"a redirect", http.RedirectHandler("http://192.0.2.1/", http.StatusFound).ServeHTTP, "give the URL that it sends to"},
		{"a fault", failed(500, "cannot read file"), "answers 500 Internal Server Error: GET http"},
		{"a proxy's fault", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad \xff gateway", http.StatusBadGateway) }, "bad ? gateway"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, "the answer is not a Data Plane API's"},
		{"no version", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, "it has no version"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9") }, "the answer broke off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			_, err := connected(t, server.URL, someOptions(), memory(t)).Saved()
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error %v does not say %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestAnAPIThatIsNotThereOrHangsIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	plane := connected(t, "http://"+listener.Addr().String(), someOptions(), memory(t))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := plane.Save(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an API that hangs: %v", err)
	}
	listener.Close()
	if _, err := plane.Save(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "see that it runs and can be reached from here") {
		t.Errorf("an API that is not there: %v", err)
	}
}

func TestAConflictIsEditedAgainButNotForEver(t *testing.T) {
	for _, c := range []struct {
		conflicts int
		fails     bool
	}{{0, false}, {attempts - 1, false}, {attempts, true}} {
		posts := 0
		plane := stub(t, "", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("version") != "7" {
				t.Errorf("posted with %s", r.URL.RawQuery)
			}
			if posts++; posts <= c.conflicts {
				failed(409, "version mismatch")(w, r)
			}
		})
		// A limit on connections is left alone here, so that no reload is waited for.
		_, err := plane.Set(t.Context(), []haproxy.Change{{To: haproxy.Server{Name: "slot-001", Address: "127.0.0.1", Port: 1, Admin: haproxy.Ready}}})
		if (err != nil) != c.fails || posts != min(c.conflicts+1, attempts) {
			t.Errorf("%d conflicts: %v after %d posts", c.conflicts, err, posts)
		}
		if c.fails && !strings.Contains(err.Error(), "gave up after 5 attempts") {
			t.Errorf("a conflict for ever: %v", err)
		}
	}
}

func TestARefusedTextIsTriedDryTheNextTime(t *testing.T) {
	var queries []string
	plane := stub(t, "", func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		if r.URL.Query().Has("only_validate") {
			failed(400, "validation error: exit status 1")(w, r)
			return
		}
		failed(400, "validation error: exit status 1: err transactionId=x \nmsg=\"config parsing [/tmp/haproxy/x:14] unknown keyword 'bogus'\"\nmsg=\"config Fatal errors found in configuration.\"")(w, r)
	})
	for range 3 {
		_, err := plane.Rebuild(t.Context(), nil, haproxy.ReloadToGrow)
		if err == nil || !strings.HasSuffix(err.Error(), "haproxy refuses the configuration: line 14: unknown keyword 'bogus'") {
			t.Errorf("a refused configuration: %v", err)
		}
	}
	if want := []string{"force_reload=true&version=7", "only_validate=true", "only_validate=true"}; strings.Join(queries, " ") != strings.Join(want, " ") {
		t.Errorf("asked %q, want %q", queries, want)
	}
}

func TestAConditionIsRefused(t *testing.T) {
	plane := stub(t, "defaults\n  mode http\n  .if defined(A)\n  timeout queue 1s\n  .endif\n", func(http.ResponseWriter, *http.Request) {
		t.Error("a file with a condition is written")
	})
	var condition *ConditionError
	if _, err := plane.Save(t.Context(), nil); !errors.As(err, &condition) || condition.Line != 3 {
		t.Errorf("a condition: %v", err)
	}
}

func TestWritersTakeTurnsAndDoNotWaitForEver(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	plane := stub(t, "", func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(entered) })
		<-leave
	})
	change := []haproxy.Change{{To: haproxy.Server{Name: "slot-001", Admin: haproxy.Maint}}}
	done := make(chan error, 1)
	go func() {
		_, err := plane.Set(t.Context(), change)
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := plane.Set(ctx, change); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for another change") {
		t.Errorf("a second writer: %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for says, config := range map[string]Config{
		"want one like https://lb-1:5555":    {URL: "lb-1:5555"},
		"cannot be read":                     {URL: "http://a:" + password + "@:x"},
		"give user and password by their":    {URL: "http://a:" + password + "@lb-1"},
		"the Data Plane API's CA file: ":     {URL: "https://lb-1", CAFile: empty + ".no"},
		"has no certificate in it":           {URL: "https://lb-1", CAFile: empty},
		"our certificate for the Data Plane": {URL: "https://lb-1", CertFile: empty},
	} {
		_, err := New(config, someOptions(), memory(t))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), password) {
			t.Errorf("%v: %v does not say %q", config, err, says)
		}
	}
	config := Config{URL: "http://lb-1", User: user, Password: func() string { return password }}
	if text := fmt.Sprintf("%v %+v %#v", config, config, config); strings.Contains(text, password) {
		t.Errorf("printed as %s", text)
	}
}

func TestTLSTrustsTheCAThatIsGivenAndShowsOurCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, secret, _ := r.BasicAuth(); name != user || secret != password || len(r.TLS.PeerCertificates) != 1 {
			t.Errorf("came as %q with %d certificates", name, len(r.TLS.PeerCertificates))
		}
		answer(w, http.StatusOK, map[string]any{"_version": 1, "data": ""})
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	secret, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		key:         {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := Config{URL: server.URL, User: user, Password: func() string { return password }, CAFile: certificate, CertFile: certificate, KeyFile: key}
	plane, err := New(config, someOptions(), memory(t))
	if err != nil {
		t.Fatal(err)
	}
	defer plane.api.http.CloseIdleConnections()
	if _, err := plane.Saved(); err != nil {
		t.Error(err)
	}
	if _, err := connected(t, server.URL, someOptions(), memory(t)).Saved(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody known has signed: %v", err)
	}
}

func TestOurSectionsAreKnownAgainAfterTheAPIWroteThem(t *testing.T) {
	secure := someOptions()
	secure.TLS = haproxy.TLS{Bind: "0.0.0.0:11443", Certificate: "/etc/zatoha/cert.pem", RedirectPort: 11443, HSTS: time.Hour}
	secure.SlowStart = 5 * time.Second
	other := secure
	other.TLS.MinVersion, other.HeaderNames, other.BufferRequest, other.RetryOn = "TLSv1.3", "preserve", false, []string{"conn-failure", "503"}
	other.CheckFastInterval, other.CheckDownInterval, other.CheckFall, other.CheckRise = time.Millisecond, time.Second, 3, 4
	once := someOptions()
	once.Retries, once.HeaderNames = 0, "delete"
	for name, o := range map[string]haproxy.Options{"default": someOptions(), "TLS": secure, "other": other, "once": once} {
		want := o.Sections(conformance.Free(3))
		text, err := edit.Apply("global\n    nbthread 2\n\ndefaults\n    mode tcp\n\nbackend other\n    timeout server 1s\n", want)
		if err != nil {
			t.Fatal(err)
		}
		written := apiWrites(t, text)
		have, err := edit.Read(restore(written, o.Sections(nil)))
		if err != nil {
			t.Fatal(err)
		}
		if same, err := sameDesign(have, want); err != nil || !same {
			t.Errorf("%s: the API's\n%s\nis not known again as\n%+v: %v", name, written, want, err)
		}
		if servers, err := haproxy.ReadServers(have); err != nil || len(servers) != 3 {
			t.Errorf("%s: servers %+v, %v", name, servers, err)
		}
		again, err := edit.Apply(restore(written, o.Sections(nil)), want)
		if err != nil {
			t.Fatal(err)
		}
		if twice := apiWrites(t, again); twice != written {
			t.Errorf("%s: written twice, the file goes from\n%s\nto\n%s", name, written, twice)
		}
	}
}

func apiWrites(t *testing.T, text string) string {
	t.Helper()
	written, err := rewritten(text)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func TestAServerLineThatSomebodyBrokeIsPutRight(t *testing.T) {
	text, err := edit.Apply("", someOptions().Sections(conformance.Free(1)))
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(text, "server slot-001 127.0.0.1:1", "server slot-001 127.0.0.1:x", 1)
	posted := ""
	plane := stub(t, broken, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted = string(body)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// The stub's worker stays the same, so that the reload is not seen to be done.
	if _, err := plane.Save(ctx, conformance.Free(1)); !errors.Is(err, context.DeadlineExceeded) || posted != text {
		t.Errorf("%v, and posted\n%s", err, posted)
	}
	if _, err := plane.Saved(); err == nil || !strings.Contains(err.Error(), "127.0.0.1:x") {
		t.Errorf("reading a broken line: %v", err)
	}
}

func TestRestoreLeavesOthersAlone(t *testing.T) {
	want := []edit.Section{{Header: "frontend front", Lines: []edit.Line{{Text: "monitor-uri /a"}}}, {Header: "global"}}
	for _, c := range []struct{ name, text, restored string }{
		{"a section without a line of ours", "frontend front\n  monitor-uri /a\n", "frontend front\n  monitor-uri /a\n"},
		{"another section", "frontend other\n  bind :1 # zatoha\n", "frontend other\n  bind :1 # zatoha\n"},
		{"a comment that only looks like it", "frontend front\n  # bind :1 # zatoha\n", "frontend front\n  # bind :1 # zatoha\n"},
		{
			"ours", "# top\nglobal\n  nbthread 2\n  stats timeout 1m # zatoha\n\nfrontend front from x\n  bind :1 # zatoha\n  monitor-uri  /a\n  monitor-uri /b\n",
			"# top\nglobal # zatoha\n  nbthread 2\n  stats timeout 1m # zatoha\n\nfrontend front from x # zatoha\n  bind :1 # zatoha\n  monitor-uri  /a # zatoha\n  monitor-uri /b\n",
		},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := restore(c.text, want); got != c.restored {
				t.Errorf("restored is\n%s\nwant\n%s", got, c.restored)
			}
		})
	}
}

func TestProxiesKeepTheirDefaults(t *testing.T) {
	for _, c := range []struct{ name, text, explicit string }{
		{
			"unnamed ones, twice", "defaults\n  mode tcp\nfrontend a # x\nbackend defaults\n\tdefaults # why\n listen  b\n",
			"defaults unnamed_defaults_1\n  mode tcp\nfrontend a from unnamed_defaults_1 # x\nbackend defaults from unnamed_defaults_1\n" +
				"\tdefaults unnamed_defaults_2 # why\nlisten   b from unnamed_defaults_2\n",
		},
		{"named ones", "defaults a\ndefaults b from a\nbackend x from a\nbackend y\n", "defaults a\ndefaults b from a\nbackend x from a\nbackend y from b\n"},
		{"a name that is taken", "defaults unnamed_defaults_1\ndefaults\nbackend y\n", "defaults unnamed_defaults_1\ndefaults unnamed_defaults_2\nbackend y from unnamed_defaults_2\n"},
		{"below ours", "defaults zatoha # zatoha\nbackend y\nbackend z from zatoha # zatoha\n", "defaults zatoha # zatoha\nbackend y\nbackend z from zatoha # zatoha\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := explicit(c.text); err != nil || got != c.explicit {
				t.Errorf("%v\n%s\nwant\n%s", err, got, c.explicit)
			}
		})
	}
	plane := stub(t, "", nil)
	p, err := plane.edit(document{text: "defaults\n  mode tcp\nbackend other\n"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := apiWrites(t, p.text); !strings.Contains(text, "\nbackend other from unnamed_defaults_1\n") {
		t.Errorf("the operator's backend takes other defaults in\n%s", text)
	}
	var none *InheritanceError
	if _, err := explicit("global\n\nbackend y\n"); !errors.As(err, &none) || none.Line != 3 || none.Proxy != "backend y" {
		t.Errorf("a proxy without defaults: %v", err)
	}
}
