package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"zatoha/deploy/freeport"
)

// process is the server as a process of its own.
type process struct {
	*exec.Cmd
	log *bufio.Reader
}

func launch(t *testing.T, env []string, args ...string) process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "SERVER_TEST_PROCESS=1"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if cmd.ProcessState == nil {
			_ = cmd.Wait()
		}
	})
	return process{cmd, bufio.NewReader(stderr)}
}

// await reads the log up to a line with the text, and returns what it read.
func (p process) await(t *testing.T, text string) string {
	t.Helper()
	var read strings.Builder
	for {
		line, err := p.log.ReadString('\n')
		read.WriteString(line)
		if strings.Contains(line, text) {
			return read.String()
		}
		if err != nil {
			t.Fatalf("the process ended before it logged %q:\n%s", text, read.String())
		}
	}
}

// end reads the rest of the log and returns it and the exit status.
func (p process) end(t *testing.T) (log string, status int) {
	t.Helper()
	rest, err := io.ReadAll(p.log)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // the status tells
	return string(rest), p.ProcessState.ExitCode()
}

func TestBadConfigurationIsOneLineAndStatus2(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	free := freeport.For(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", busy.Addr().String()}, "server: --listen: " + busy.Addr().String() + " is in use: stop the program that has it, or choose another port\n"},
		{[]string{"--listen", "192.0.2.1:1"}, "server: --listen: listen tcp 192.0.2.1:1: bind: cannot assign requested address: choose an address of this machine and a port that this user may open\n"},
		{[]string{"--listen", "127.0.0.1:99999"}, `port must be 1..65535`},
		{[]string{"--lisen", "x"}, `did you mean "--listen"?`},
		{[]string{"--consul-http-addr", "http://"}, "names no host"},
		{[]string{"--id", "a/b"}, `--id: "a/b": must be of letters`},
		{[]string{"--service", ""}, `--service: "": must be of letters`},
		{[]string{"--check-interval", "10ms"}, "--check-interval: 10ms: must be at least 1s"},
		{[]string{"--deregister-after", "10s"}, "--deregister-after: 10s: must be 0 or at least 1m"},
		{[]string{"--drain-timeout=-1s"}, "--drain-timeout: -1s: must not be negative"},
		{[]string{"--finish-timeout=0s"}, "--finish-timeout: 0s: must be positive"},
		{[]string{"--max-body-bytes", "0"}, "--max-body-bytes: 0: must be at least 1"},
		{[]string{"--service-timeout=0s"}, "--service-timeout: 0s: must be positive"},
		{[]string{"--channels", "/nowhere.yaml"}, "open /nowhere.yaml: no such file or directory; give JSON"},
		{[]string{"--channels", "[{]"}, "is not valid JSON"},
		{[]string{"--channels", "{}", "--listen", "127.0.0.1:0"}, "port must be"},
		{[]string{"--listen", free, "--channels", "{}"}, "--channels: must be a list of channels"},
		{[]string{"--listen", free, "--channels", `[{"name": "a", "method": "GET"}, {"path": "/"}, 7]`}, "--channels: channel 2: name: is missing; method: is missing; service: is missing; channel 3: must be a JSON object"},
		{[]string{"--listen", free, "--channels", `[{"name": "a", "method": "GET", "path": "x", "service": "y"}]`}, `--channels: channel "a": path: "x": must begin with /; service: "y": this server has no such service: correct it`},
		{[]string{"--listen", free, "--channels", `[{"name": "a", "method": "GET", "path": "/{x}", "service": "demo.echo"}, {"name": "b", "method": "GET", "path": "/{y}", "service": "demo.echo"}]`}, `channel "b": GET /{}: channel "a" has it already`},
		{[]string{"--listen", free, "--otlp-endpoint", "localhost:4318"}, "--otlp-endpoint: must be a URL like http://127.0.0.1:4318"},
		{[]string{"--listen", free, "--invoke-token", "short"}, "--invoke-token: the token has less than 16 characters"},
		{[]string{"--listen", free, "--invoke-token-file", "/nowhere"}, "--invoke-token-file: open /nowhere: no such file"},
		{[]string{"--listen", free, "--invoke-listen", busy.Addr().String()}, "--invoke-listen: " + busy.Addr().String() + " is in use"},
		{[]string{"--tags", "a,,b"}, `--tags: "": must be text`},
		{[]string{"--advertise", "0.0.0.0:80"}, "--advertise: \"0.0.0.0:80\": must name a host"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			log, status := launch(t, nil, c.args...).end(t)
			if status != 2 || strings.Count(log, "\n") != 1 || !strings.Contains(log, c.want) {
				t.Errorf("status %d, stderr %q, want 2 and one line with %q", status, log, c.want)
			}
		})
	}
}

func TestProcessWithoutConsulSaysSoAndStopsCleanly(t *testing.T) {
	address := freeport.For(t)
	p := launch(t, []string{"CONSUL_HTTP_ADDR=" + freeport.For(t)}, "--listen", address)
	p.await(t, "Consul cannot be asked; serving anyway")
	if status, err := ping(address); status != http.StatusOK {
		t.Errorf("status %d, %v", status, err)
	}
	start := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	log, status := p.end(t)
	if status != 0 || time.Since(start) > 2*time.Second {
		t.Errorf("status %d after %v:\n%s", status, time.Since(start), log)
	}
}

func terminate(t *testing.T, p process) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
