package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/supervise"
	"zatoha/deploy/freeport"
)

// TestMain lets the test binary play the connector host, and its children, with a kind of the tests' own.
func TestMain(m *testing.M) {
	kinds["test"] = kind{Read: readTest, Work: workTest}
	connector.Register("file", decodeFile)
	kinds["file"] = kind{Read: readConnector, Work: workConnector}
	if os.Getenv("CONNECTORHOST_TEST_PROCESS") != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// testDefinition is of a connector that notes in a file when it receives, and with which epoch.
type testDefinition struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Log  string `json:"log"`
	Mood string `json:"mood,omitempty"`
}

func readTest(text json.RawMessage) (traits, error) {
	var d testDefinition
	if err := json.Unmarshal(text, &d); err != nil {
		return traits{}, err
	}
	if d.Log == "" {
		return traits{}, errors.New("log: is empty: name a file")
	}
	return traits{Beside: true}, nil
}

func workTest(_ context.Context, job *supervise.Job, log zerolog.Logger) error {
	var d testDefinition
	if err := json.Unmarshal(job.Definition.JSON, &d); err != nil {
		return supervise.Permanent(err)
	}
	if d.Mood == "sad" {
		return supervise.Permanent(errors.New("no such queue: declare it"))
	}
	if err := job.Report(supervise.Report{State: supervise.Prepared}); err != nil {
		return err
	}
	select {
	case <-job.Going():
	case <-job.Draining():
		return nil
	}
	file, err := os.OpenFile(d.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	fmt.Fprintf(file, "start %d %d %d\n", os.Getpid(), job.Epoch, time.Now().UnixNano())
	log.Info().Msg("receiving")
	if err := job.Report(supervise.Report{State: supervise.Running, Counters: map[string]int64{"received": 3}}); err != nil {
		return err
	}
	<-job.Draining()
	fmt.Fprintf(file, "stop %d %d %d\n", os.Getpid(), job.Epoch, time.Now().UnixNano())
	return nil
}

// process is a connector host as a process of its own.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	id      string
	stderr  *output
	done    chan struct{}
}

// output is what a process has written, which may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "CONNECTORHOST_TEST_PROCESS=1", "GORACE=atexit_sleep_ms=0"), env...)
	return cmd
}

// launch starts a host at an address. It ends with the test.
func launch(t *testing.T, consulAddress, id, address string, args ...string) *process {
	t.Helper()
	p := &process{t: t, address: address, id: id, stderr: &output{}, done: make(chan struct{})}
	p.cmd = command([]string{"CONSUL_HTTP_ADDR=" + consulAddress}, append([]string{"--id", id, "--listen", address}, args...)...)
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the status tells
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", id, p.stderr)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the host as a service manager does, and returns its exit status.
func (p *process) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Error("it did not stop")
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) report() (report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return fetch(ctx, p.address)
}

// await asks the host until it reports what is wanted.
func (p *process) await(what string, ok func(report) bool) report {
	p.t.Helper()
	var last report
	eventually(p.t, p.id+": "+what, func() bool {
		r, err := p.report()
		last = r
		return err == nil && ok(r)
	}, func() string { return fmt.Sprintf("%+v", last) })
	return last
}

func eventually(t *testing.T, what string, holds func() bool, last func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s; last %s", what, last())
		}
	}
}

// metrics are those of the host at an address.
func metrics(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, response)
}

func TestBadConfigurationIsOneLineAndStatus2(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	bad := t.TempDir() + "/bad.json"
	if err := os.WriteFile(bad, []byte(`{"name": "a b", "kind": "test", "is_active": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", busy.Addr().String()}, "is in use: stop the program that has it"},
		{[]string{"--lisen", "x"}, `did you mean "--listen"?`},
		{[]string{"--consul-http-addr", "http://"}, "names no host"},
		{[]string{"--id", "a/b"}, `--id: "a/b": must be of letters`},
		{[]string{"--cluster", ""}, `--cluster: "": must be of letters`},
		{[]string{"--service", "a b"}, `--service: "a b": must be of letters`},
		{[]string{"--lease-ttl", "100ms"}, "--lease-ttl: 100ms: must be 200ms..10m; --lease-beat"},
		{[]string{"--lease-beat", "300ms"}, "--lease-beat: 300ms: must be at least 10ms and at most a quarter of --lease-ttl, which is 1s"},
		{[]string{"--spare-processes=-1"}, "--spare-processes: -1: must be 0 to 100"},
		{[]string{"--drain-timeout", "0s"}, "--drain-timeout: 0s: must be positive"},
		{[]string{"--invoke-timeout", "0s"}, "--invoke-timeout: 0s: must be positive"},
		{[]string{"--deregister-after", "10s"}, "--deregister-after: 10s: must be 0 or at least 1m"},
		{[]string{"--advertise", "0.0.0.0:80"}, "--advertise: \"0.0.0.0:80\": must name a host"},
		{[]string{"validate", "/no/such/file"}, "no such file or directory: give a file that can be read"},
		{[]string{"validate", bad}, bad + `: name: "a b": must be of letters, digits and . _ - and begin with one of the first two; log: is empty: name a file`},
		{[]string{"--invoke-url", "lb:11223"}, `--invoke-url: "lb:11223": must be like http://HOST:PORT`},
		{[]string{"--listen", freeport.For(t), "--invoke-token-file", "/no/such/file"}, "--invoke-token-file: "},
		{[]string{"--listen", freeport.For(t), "--invoke-token", "short"}, "the token has less than 16 characters: make one by: openssl rand -hex 32"},
		{[]string{"move", "a b"}, `"a b": must be of letters`},
		{[]string{"move", "a", "--wait", "0s"}, "--wait: 0s: must be positive"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			cmd := command(nil, c.args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 2 || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("%v, stderr %q, want 2 and one line with %q", err, stderr.String(), c.want)
			}
		})
	}
}

func TestCommandsWithoutAHostSayWhatToLookAt(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"move", "host-b"}} {
		var stderr bytes.Buffer
		cmd := command(nil, append(args, "--admin", freeport.For(t))...)
		cmd.Stderr = &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "is it running, and is this its --listen?") {
			t.Errorf("%v: %v, %s", args, err, stderr.String())
		}
	}
}

func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
