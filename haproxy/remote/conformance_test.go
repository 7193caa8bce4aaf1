package remote

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/freeport"
	"zatoha/haproxy"
	"zatoha/haproxy/conformance"
	"zatoha/haproxy/edit"
)

var rewrite = flag.Bool("record", false, "rewrite the recorded conversations; needs DATAPLANEAPI_BIN")

// The suite runs twice: against conversations that were recorded, and against the real program where one is given:
//
//	DATAPLANEAPI_BIN=/path/to/dataplaneapi go test ./haproxy/remote [-record]

const normalises = "the Data Plane API writes the whole file anew at every change, see the package's comment"

func TestConformanceToRecordings(t *testing.T) {
	conformance.Run(t, newRecorded, conformance.Exceptions{
		conformance.ForeignBytes: normalises,
		conformance.Concurrency:  "a recording has one order of calls",

		conformance.ForgottenDesign: "nothing was recorded of it; TestADesignIsForgottenWhenAnotherIsInPlace is the same",
	})
}

func TestConformanceToTheRealProgram(t *testing.T) {
	binary := os.Getenv("DATAPLANEAPI_BIN")
	if binary == "" {
		t.Skip("no real Data Plane API: name its program (2.9) by DATAPLANEAPI_BIN to run this test")
	}
	conformance.Run(t, func(t *testing.T, operators string, slots int) conformance.Subject {
		return newReal(t, binary, operators, slots)
	}, conformance.Exceptions{conformance.ForeignBytes: normalises})
}

// What a replay has for what the recording had of its machine.
const (
	replayDir  = "/run/zatoha"
	replayBind = "127.0.0.1:11223"
)

// fewSections are what recordings are made with instead of the options' own sections: a recording need not be made
// again whenever a directive is added to those. The monitor lines are there because the API drops their marks.
func fewSections(options haproxy.Options) func([]haproxy.Server) []edit.Section {
	section := func(header string, lines ...string) edit.Section {
		s := edit.Section{Header: header}
		for _, line := range lines {
			s.Lines = append(s.Lines, edit.Line{Text: line})
		}
		return s
	}
	return func(servers []haproxy.Server) []edit.Section {
		return haproxy.WithServers([]edit.Section{
			section("global", "stats socket "+options.StatsSocket+" mode 600 level admin expose-fd listeners"),
			section("defaults "+haproxy.Defaults, fmt.Sprintf("timeout server %dms", options.ServerTimeout.Milliseconds()), "timeout connect 1s", "mode http", "timeout client 1s"),
			section("frontend "+haproxy.Frontend+" from "+haproxy.Defaults,
				"bind "+options.Bind, "monitor fail if { nbsrv("+haproxy.Backend+") lt 1 }", "monitor-uri "+haproxy.AliveURI,
				"default_backend "+haproxy.Backend),
			section("backend "+haproxy.Backend+" from "+haproxy.Defaults, "default-server check inter 250ms", "retries 2", "balance roundrobin"),
		}, options.Sections(servers))
	}
}

// recorded is a data plane that talks to a recording. What others do to HAProxy shows in what the recording answers.
type recorded struct {
	*DataPlane
	url, memory string
	options     haproxy.Options
}

func newRecorded(t *testing.T, _ string, slots int) conformance.Subject {
	server := replay(t)
	options := haproxy.DefaultOptions()
	options.Bind, options.StatsSocket = replayBind, replayDir+"/haproxy-stats.sock"
	r := &recorded{url: server.URL, memory: filepath.Join(t.TempDir(), "api"), options: options}
	r.connect(t)
	prepared(t, r.DataPlane, slots)
	return r
}

func (r *recorded) connect(t *testing.T) {
	r.DataPlane = connected(t, r.url, r.options, r.memory)
	r.sections = fewSections(r.options)
}

func (r *recorded) Redesign(t *testing.T, seconds int) {
	r.options.ServerTimeout = time.Duration(seconds) * time.Second
	r.connect(t)
}

func (r *recorded) Config(t *testing.T) string { return r.raw(t) }

func (r *recorded) Overwrite(t *testing.T, text string) { r.await(t, text) }

func (r *recorded) Reload(*testing.T) {}

func (r *recorded) Stop(*testing.T) {}

func (r *recorded) Start(*testing.T) {}

const user, password = "zatoha", "correct-horse"

func connected(t *testing.T, url string, options haproxy.Options, memory string) *DataPlane {
	t.Helper()
	plane, err := New(Config{URL: url, User: user, Password: func() string { return password }}, options, memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.api.http.CloseIdleConnections)
	return plane
}

func prepared(t *testing.T, plane *DataPlane, slots int) {
	t.Helper()
	if _, err := plane.Prepare(t.Context(), conformance.Free(slots)); err != nil {
		t.Fatal(err)
	}
}

// raw is the file as the API shows it.
func (d *DataPlane) raw(t *testing.T) string {
	t.Helper()
	var raw struct{ Data string }
	if _, err := d.api.call(t.Context(), request{method: http.MethodGet, path: rawPath, timeout: readTimeout}, &raw); err != nil {
		t.Fatal(err)
	}
	return raw.Data
}

// await waits until the API has seen what was done to the file behind its back: it writes it anew then.
func (d *DataPlane) await(t *testing.T, text string) {
	t.Helper()
	poll(t, "the API does not see the file", func() bool { return d.raw(t) != text })
}

const patience = 20 * time.Second

func poll(t *testing.T, failure string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatal(failure)
		}
	}
}

// real is a data plane that talks to the real program, and the HAProxy beside that.
type real struct {
	*DataPlane
	*conformance.HAProxy
	url string
}

func newReal(t *testing.T, binary, operators string, slots int) conformance.Subject {
	h := conformance.NewHAProxy(t, freeport.For(t), operators)
	h.Overwrite(t, operators+"global\n    stats socket "+filepath.Join(h.Paths.Dir, "api.sock")+" mode 600 level admin\n")
	h.Start(t)
	api := startProgram(t, binary, h)
	one := strings.HasSuffix(t.Name(), strings.ReplaceAll(conformance.Concurrency, " ", "_"))
	server := record(t, api, *rewrite && !one, strings.NewReplacer(h.Paths.Dir, replayDir, h.Options.Bind, replayBind))
	r := &real{HAProxy: h, url: server.URL}
	r.connect(t)
	prepared(t, r.DataPlane, slots)
	return r
}

func (r *real) connect(t *testing.T) {
	r.DataPlane = connected(t, r.url, r.Options, filepath.Join(r.Paths.Dir, "dataplane"))
	if *rewrite {
		r.sections = fewSections(r.Options)
	}
}

func (r *real) Redesign(t *testing.T, seconds int) {
	r.Options.ServerTimeout = time.Duration(seconds) * time.Second
	r.connect(t)
}

func (r *real) Config(t *testing.T) string { return r.raw(t) }

func (r *real) Overwrite(t *testing.T, text string) {
	r.HAProxy.Overwrite(t, text)
	r.await(t, text)
}

// startProgram runs the API beside an HAProxy until the test ends.
func startProgram(t *testing.T, binary string, h *conformance.HAProxy) *url.URL {
	t.Helper()
	dir := filepath.Join(h.Paths.Dir, "api")
	users := filepath.Join(dir, "users.cfg")
	reload := filepath.Join(dir, "reload.sh")
	for path, text := range map[string]string{
		users: "userlist controller\n  user " + user + " insecure-password " + password + "\n",
		// HAProxy removes its pid file for a moment at each reload.
		reload: "for i in 1 2 3 4 5 6 7 8 9; do kill -USR2 $(cat " + h.Paths.PID() + ") && exit 0; sleep 0.1; done; exit 1\n",
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeport.For(t)
	host, port, _ := strings.Cut(address, ":")
	cmd := exec.Command(binary, "--scheme=http", "--host="+host, "--port="+port,
		"--haproxy-bin=haproxy", "--config-file="+h.Paths.Config, "-f", filepath.Join(dir, "api.yaml"),
		"--userlist=controller", "--userlist-file="+users, "--reload-cmd=/bin/sh "+reload, "--restart-cmd=/bin/sh "+reload,
		"--transaction-dir="+filepath.Join(dir, "t"), "--backups-dir="+filepath.Join(dir, "b"), "--maps-dir="+filepath.Join(dir, "m"),
		"--ssl-certs-dir="+filepath.Join(dir, "c"), "--general-storage-dir="+filepath.Join(dir, "g"),
		"--spoe-dir="+filepath.Join(dir, "s"), "--spoe-transaction-dir="+filepath.Join(dir, "st"), "--delayed-start-max=5s", "--log-to=stdout")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the Data Plane API said:\n%s", &output)
		}
	})
	api := &url.URL{Scheme: "http", Host: address}
	poll(t, "the Data Plane API does not start", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the Data Plane API ended at its start: %v", err)
		default:
		}
		response, err := http.Get(api.JoinPath("v2", "info").String())
		if err != nil {
			return false
		}
		response.Body.Close()
		return true
	})
	return api
}
