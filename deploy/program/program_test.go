package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// TestMain lets the test binary play a program whose signals and exit status a test observes from outside.
func TestMain(m *testing.M) {
	if how := os.Getenv("PROGRAM_TEST_CHILD"); how != "" {
		os.Exit(Main("lb", "A child of the test.", &childGrammar{how: how}))
	}
	goleak.VerifyTestMain(m)
}

type childGrammar struct {
	Common
	how string
}

func (g *childGrammar) Run(ctx context.Context, log zerolog.Logger) error {
	log.Info().Msg("ready")
	<-ctx.Done()
	if g.how == "stuck" {
		select {} // only a second signal ends it
	}
	return ctx.Err()
}

// grammar is what a program of the project declares.
type grammar struct {
	Common
	Serve serve `cmd:"" default:"withargs" help:"Serve (the default)."`
	Plan  plan  `cmd:"" help:"Show what would be done."`
}

type serve struct {
	Listen  HostPort      `default:"0.0.0.0:11223" help:"Address of the front."`
	Peers   []HostPort    `help:"Other nodes."`
	Slots   int           `default:"16" help:"Server slots."`
	Guard   bool          `help:"Keep the pool on a large removal."`
	Timeout time.Duration `default:"3s" help:"Longest wait."`
	Consul  string        `env:"CONSUL_HTTP_ADDR" default:"127.0.0.1:8500" help:"Consul agent."`
	run     func(context.Context, *serve) error
}

type plan struct {
	Width int `default:"80" help:"Columns."`
}

func (s *serve) Validate() error {
	if s.Timeout < 0 {
		return errors.New("--timeout: must not be negative")
	}
	return nil
}

func (s *serve) Run(ctx context.Context, _ zerolog.Logger) error { return s.run(ctx, s) }
func (*plan) Run(context.Context, zerolog.Logger) error          { return nil }

// outcome is what an operator sees of a program that ended.
type outcome struct {
	status         int
	stdout, stderr string
	got            serve
	ran            bool
}

func start(t *testing.T, run func(context.Context, *serve) error, signals <-chan os.Signal, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	var end outcome
	g := &grammar{}
	g.Serve.run = func(ctx context.Context, s *serve) error {
		end.got, end.ran = *s, true
		return run(ctx, s)
	}
	end.status = surroundings{
		args: args, stdout: &stdout, stderr: &stderr, signals: signals,
		exit: func(int) { t.Error("the process was ended by a second signal") },
	}.main("lb", "Balances.", g)
	end.stdout, end.stderr = stdout.String(), stderr.String()
	return end
}

func succeed(context.Context, *serve) error { return nil }

func TestStatusOfRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		stderr string
	}{
		{"success", nil, exitStopped, ""},
		{"failure", errors.New("disk full"), exitFailed, `"error":"disk full"`},
		{"canceled by itself", context.Canceled, exitFailed, "context canceled"},
		{
			"configuration found bad late", BadConfig("--listen", "port 80 is in use", "choose another"), exitBadConfig,
			"lb: --listen: port 80 is in use: choose another\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			end := start(t, func(context.Context, *serve) error { return c.err }, nil)
			if end.status != c.status || !strings.Contains(end.stderr, c.stderr) {
				t.Errorf("status %d, stderr %q; want %d, %q", end.status, end.stderr, c.status, c.stderr)
			}
		})
	}
}

func TestFirstSignalCancelsRun(t *testing.T) {
	signals := make(chan os.Signal, 1)
	end := start(t, func(ctx context.Context, _ *serve) error {
		signals <- syscall.SIGTERM
		<-ctx.Done()
		return ctx.Err()
	}, signals)
	if end.status != exitStopped || !strings.Contains(end.stderr, `"signal":"terminated"`) {
		t.Errorf("status %d: %s", end.status, end.stderr)
	}
}

func TestWhatWentWrongWhileStoppingIsLogged(t *testing.T) {
	for want, with := range map[string]error{"": fmt.Errorf("waiting: %w", context.Canceled), `"error":"context canceled\nit was killed"`: errors.New("it was killed")} {
		signals := make(chan os.Signal, 1)
		end := start(t, func(ctx context.Context, _ *serve) error {
			signals <- syscall.SIGTERM
			<-ctx.Done()
			return errors.Join(ctx.Err(), with)
		}, signals)
		if end.status != exitStopped || !strings.Contains(end.stderr, want) || want == "" && strings.Contains(end.stderr, `"error"`) {
			t.Errorf("%v: status %d: %s", with, end.status, end.stderr)
		}
	}
}

func TestSignalsEndARealProcess(t *testing.T) {
	for _, c := range []struct {
		how    string
		status int
	}{{"obedient", exitStopped}, {"stuck", exitFailed}} {
		t.Run(c.how, func(t *testing.T) {
			child, log := startChild(t, c.how)
			send(t, child, syscall.SIGTERM)
			if c.status == exitFailed {
				awaitText(t, log, "stopping")
				send(t, child, syscall.SIGTERM)
			}
			_, _ = io.Copy(io.Discard, log)
			_ = child.Wait() // the status is looked at below
			if got := child.ProcessState.ExitCode(); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
		})
	}
}

// startChild starts this test binary as a program, by way of what is in front, and waits until it runs.
func startChild(t *testing.T, how string, front ...string) (*exec.Cmd, io.ReadCloser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	line := append(front, os.Args[0])
	child := exec.CommandContext(ctx, line[0], line[1:]...)
	child.Env = append(os.Environ(), "PROGRAM_TEST_CHILD="+how)
	log, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // so that it does not inherit that they are ignored, if these tests run under nohup
	defer signal.Stop(hangups)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	awaitText(t, log, "ready")
	return child, log
}

func send(t *testing.T, child *exec.Cmd, signals ...syscall.Signal) {
	t.Helper()
	for _, one := range signals {
		if err := child.Process.Signal(one); err != nil {
			t.Fatal(err)
		}
	}
}

// What a command undoes at its end is undone when its terminal is lost, even if nobody is left to read its log.
func TestALostTerminalStopsAProgramInOrder(t *testing.T) {
	child, log := startChild(t, "obedient")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	send(t, child, syscall.SIGHUP)
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

func TestALostTerminalIsNoSecondSignal(t *testing.T) {
	child, log := startChild(t, "stuck")
	send(t, child, syscall.SIGHUP)
	awaitText(t, log, `"signal":"hangup"`)
	send(t, child, syscall.SIGHUP, syscall.SIGTERM)
	rest, err := io.ReadAll(log)
	if err != nil || strings.Contains(string(rest), "hangup") || !strings.Contains(string(rest), `"signal":"terminated"`) {
		t.Errorf("%v, %s", err, rest)
	}
	_ = child.Wait() // the status is looked at below
	if got := child.ProcessState.ExitCode(); got != exitFailed {
		t.Errorf("status %d, want %d", got, exitFailed)
	}
}

func TestAProgramUnderNohupOutlivesItsTerminal(t *testing.T) {
	child, log := startChild(t, "obedient", "sh", "-c", `trap "" HUP; exec "$0"`)
	send(t, child, syscall.SIGHUP, syscall.SIGTERM)
	rest, err := io.ReadAll(log)
	if err != nil || strings.Contains(string(rest), "hangup") || !strings.Contains(string(rest), `"signal":"terminated"`) {
		t.Errorf("%v, %s", err, rest)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

func awaitText(t *testing.T, from io.Reader, text string) {
	t.Helper()
	var seen strings.Builder
	for one := make([]byte, 1); !strings.HasSuffix(seen.String(), text); {
		if _, err := from.Read(one); err != nil {
			t.Fatalf("awaiting %q after %q: %v", text, seen.String(), err)
		}
		seen.Write(one)
	}
}

func TestHelpAndVersion(t *testing.T) {
	end := start(t, succeed, nil, "--help", "--config=/none")
	if end.status != exitStopped || end.stderr != "" || end.ran {
		t.Errorf("status %d, ran %t, stderr %q", end.status, end.ran, end.stderr)
	}
	for _, part := range []string{"Balances.", "--listen", "ZATOHA_LB_LISTEN", "$CONSUL_HTTP_ADDR", "0.0.0.0:11223", "plan", "else from its environment"} {
		if !strings.Contains(end.stdout, part) {
			t.Errorf("no %q in\n%s", part, end.stdout)
		}
	}
	end = start(t, succeed, nil, "--version")
	if end.status != exitStopped || end.stdout != "lb "+Version()+"\n" || end.ran {
		t.Errorf("status %d, ran %t: %q", end.status, end.ran, end.stdout)
	}
}

func TestPprofIsServedWhileRunning(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	busy := start(t, succeed, nil, "--pprof", address)
	if busy.status != exitBadConfig || !strings.Contains(busy.stderr, "address already in use") {
		t.Errorf("busy port: status %d: %s", busy.status, busy.stderr)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	end := start(t, func(context.Context, *serve) error {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + address + "/debug/pprof/cmdline")
		if err != nil {
			return err
		}
		return response.Body.Close()
	}, nil, "--pprof", address)
	if end.status != exitStopped {
		t.Errorf("status %d: %s", end.status, end.stderr)
	}
}
