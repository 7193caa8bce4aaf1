// Program tools makes sure that the real programs are there that the cluster and its tests run on: HAProxy, Consul, and
// for who wants them consul-template, slowhttptest, hey, Chromium, RabbitMQ, Prometheus, Python's ZeroMQ, keepalived, ip
// and nft.
//
// One case: `make run` on a bare machine calls `tools haproxy consul`. There is no haproxy: apt-get installs it. There
// is no consul, and Debian has none: Go builds it from the module in deploy/tools/consul into the cache, which takes
// minutes, says how many, and happens once. Each path is printed. The next time both are found in a tenth of a second.
//
// Where that cannot be done, by lack of root, network or disk, the program ends with status 2 and one line that says
// what to do by hand. `tools -print consul` prints the bare path, for scripts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"zatoha/deploy/tools/find"
)

// patience bounds a whole run; a build of Consul on a slow machine takes 12 minutes.
const patience = time.Hour

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	m := &machine{
		stdout: os.Stdout,
		screen: screen{out: os.Stderr, terminal: isatty.IsTerminal(os.Stderr.Fd())},
		uid:    os.Geteuid(),
	}
	os.Exit(m.main(ctx, os.Args[1:]))
}

// machine is where programs are looked for and installed.
type machine struct {
	stdout io.Writer
	screen screen
	uid    int // of whom we run as
}

// tool is a program that the cluster or its tests run.
type tool struct {
	name string
	find func() (path string, err error) // wraps find.ErrMissing if it is not there
	get  func(ctx context.Context) error // makes find find it
}

func (m *machine) tools() []tool {
	return []tool{
		{"haproxy", find.FindHAProxy, m.apt("haproxy")},
		{consul.name, consul.find, m.build(consul)},
		{consulTemplate.name, consulTemplate.find, m.build(consulTemplate)}, // a peer, for the faults
		{"slowhttptest", inPath("slowhttptest"), m.apt("slowhttptest")},     // slow clients, for the faults
		{"hey", inPath("hey"), m.apt("hey")},
		{"chromium", inPath("chromium"), m.apt("chromium")}, // 124 MB, for a test of Consul's UI
		{"rabbitmq-server", find.FindRabbitMQ, m.withoutService("rabbitmq-server", m.apt("rabbitmq-server"))},
		{"prometheus", find.FindPrometheus, m.withoutService("prometheus", m.apt("prometheus"))}, // for the tests of alarms and dashboards
		{"python3-zmq", find.FindPythonZMQ, m.apt("python3-zmq")},                                // libzmq, for the tests of connectorhost/zmtp
		// For a pair of load balancers, and for networks of hosts on one machine.
		{"keepalived", find.FindKeepalived, m.withoutService("keepalived", m.apt("keepalived"))},
		{"iproute2", find.FindIP, m.apt("iproute2")},
		{"nftables", find.FindNFT, m.apt("nftables")},
	}
}

func inPath(name string) func() (string, error) {
	return func() (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("%s %w in PATH", name, find.ErrMissing)
		}
		return path, nil
	}
}

const usage = `usage: tools [-print] [haproxy] [consul] [consul-template] [slowhttptest] [hey] [chromium] [rabbitmq-server]
             [prometheus] [python3-zmq] [keepalived] [iproute2] [nftables]

Makes sure that the programs named are there, by default haproxy and consul: from PATH, else installed by apt-get
(consul and consul-template: built from their Go modules into ${ZATOHA_CACHE:-${XDG_CACHE_HOME:-~/.cache}/zatoha}, once).
Prints where they are.

  -print  print the paths alone
`

// main returns the exit status: 0 if all is there, 1 after an interrupt, else 2.
func (m *machine) main(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("tools", flag.ContinueOnError)
	flags.SetOutput(m.screen.out)
	flags.Usage = func() { fmt.Fprint(m.screen.out, usage) }
	bare := flags.Bool("print", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	names := flags.Args()
	if len(names) == 0 {
		names = []string{"haproxy", "consul"}
	}
	patient, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("gave up after %v", patience))
	defer cancel()
	for _, name := range names {
		path, err := m.ensure(patient, name)
		if err != nil {
			return m.refuse(ctx, err)
		}
		if *bare {
			fmt.Fprintln(m.stdout, path)
		} else {
			fmt.Fprintf(m.stdout, "%-8s %s\n", name, path)
		}
	}
	return 0
}

// ensure returns the path of a program, which it gets if it is missing.
func (m *machine) ensure(ctx context.Context, name string) (path string, err error) {
	var names []string
	for _, tool := range m.tools() {
		names = append(names, tool.name)
		if tool.name != name {
			continue
		}
		path, err := tool.find()
		if !errors.Is(err, find.ErrMissing) {
			return path, err
		}
		if err := tool.get(ctx); err != nil {
			return "", err
		}
		return tool.find()
	}
	return "", fmt.Errorf("unknown program %q: name one of %s", name, strings.Join(names, ", "))
}

// refuse prints what a command printed last, if it was a command that failed, and then the error as one line.
func (m *machine) refuse(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		m.screen.say("tools: interrupted")
		return 1
	}
	var failed *failure
	if errors.As(err, &failed) {
		for _, line := range failed.last {
			m.screen.say("  | " + line)
		}
	}
	m.screen.say("tools: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	return 2
}
