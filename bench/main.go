// Program bench shows what the load balancer and the connector hosts are worth: it breaks a cluster of the real programs
// under load, and measures it beside others.
//
// One case from start to end: `bench faults --only kill-get,kill-post` starts Consul, HAProxy, the load balancer and
// three servers on free ports of the loopback address, kills servers under load as its table of scenarios says, prints a
// line for each trial, writes bin/reports/faults.md, and ends with a line that begins with PASS or FAIL, and status 0
// or 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/rs/zerolog"

	"zatoha/bench/experiment"
	"zatoha/bench/faults"
	"zatoha/bench/peer"
	"zatoha/bench/report"
	"zatoha/bench/takeover"
	"zatoha/deploy/program"
	"zatoha/deploy/tools/find"
)

func main() { os.Exit(run()) }

func run() int {
	// On a machine where everything runs, each collection of garbage here is in the figures. This also holds for the
	// stand-ins for servers, which are this program.
	debug.SetGCPercent(400)
	g := &grammar{}
	status := program.Main("bench", "Breaks and measures the load balancer with the real programs.", g)
	if status == 0 && g.fellShort {
		return 1
	}
	return status
}

type grammar struct {
	Faults      faultsCommand      `cmd:"" help:"Break things under load and count what clients notice."`
	Propagation propagationCommand `cmd:"" help:"How fast a change in Consul reaches clients."`
	Throughput  throughputCommand  `cmd:"" help:"What it carries, beside a static HAProxy."`
	Latency     latencyCommand     `cmd:"" help:"How long an answer takes at fixed rates, beside a static HAProxy."`
	Takeover    takeoverCommand    `cmd:"" help:"For how long connectors receive nothing when hosts fail, and whether ever two do."`
	Outgoing    outgoingCommand    `cmd:"" help:"How many messages a second services can send, beside a bare publisher."`
	Channel     channelCommand     `cmd:"" help:"How many messages a second a channel receives, beside a bare consumer."`
	Edge        edgeCommand        `cmd:"" help:"Break, drain and upgrade whole clusters behind outer load balancers."`
	Scale       scaleCommand       `cmd:"" help:"Changes and memory with thousands of instances."`
	Upstream    upstreamCommand    `cmd:"" hidden:"" help:"An HTTP server that records what it executes; the faults are played with it."`
	Publisher   publisherCommand   `cmd:"" hidden:"" help:"An HTTP server that publishes what is posted; outgoing messages are measured beside it."`
	Consumer    consumerCommand    `cmd:"" hidden:"" help:"Posts what it receives from a queue; channels are measured beside it."`

	Bin string `default:"bin" help:"Folder with the programs lb, server, connectorhost and recorder."`
	Out string `default:"bin/reports" help:"Folder for the reports."`

	program.Common

	fellShort bool // the figures have missed their pass line
}

// programs are the paths of what is run; consul-template and fabio are "" where they are not.
type programs struct{ consul, haproxy, consulTemplate, fabio string }

// peers are those that are there.
func (p programs) peers() (kinds []peer.Kind) {
	if p.consulTemplate != "" {
		kinds = append(kinds, peer.OfConsulTemplate(p.consulTemplate))
	}
	if p.fabio != "" {
		kinds = append(kinds, peer.OfFabio(p.fabio))
	}
	return kinds
}

// seek looks for a peer's program, and says so if there is none.
func seek(name string, find func() (string, error)) (path string) {
	path, err := find()
	if err != nil {
		fmt.Printf("ours is not set beside the peer %s: %v\n", name, err)
		return ""
	}
	return path
}

// findPrograms looks for all of them before anything is measured, and for our own, of which a long run would otherwise
// miss one late.
func (g *grammar) findPrograms() (programs, error) {
	for _, name := range []string{"lb", "server", "connectorhost", "recorder"} {
		if _, err := os.Stat(filepath.Join(g.Bin, name)); err != nil {
			return programs{}, program.BadConfig("--bin", err.Error(), "build them all by: make build && go build -o bin/ ./bench/takeover/recorder")
		}
	}
	consul, consulErr := find.FindConsul()
	haproxy, haproxyErr := find.FindHAProxy()
	if err := errors.Join(consulErr, haproxyErr); err != nil {
		return programs{}, program.BadConfig("programs", err.Error(), "")
	}
	return programs{consul: consul, haproxy: haproxy}, nil
}

// verdict prints the last line.
func (g *grammar) verdict(passed bool, format string, args ...any) {
	word := "PASS"
	if !passed {
		word, g.fellShort = "FAIL", true
	}
	fmt.Printf("%s: %s\n", word, fmt.Sprintf(format, args...))
}

type faultsCommand struct {
	Short bool            `help:"Fewer trials and shorter faults: four minutes."`
	Only  experiment.Only `placeholder:"NAME" help:"Only the scenarios of these names, parted by commas; a wrong one lists them."`
	Slack int             `default:"1" help:"Let times be that many times as long, on a machine that does something else beside."`
	LBArg []string        `name:"lb-arg" sep:"none" placeholder:"ARG" help:"One more argument for the load balancer, such as --lb-arg=--access-log=stdout."`
}

// Validate refuses what would pass nothing.
func (f *faultsCommand) Validate() error {
	if f.Slack < 1 {
		return fmt.Errorf("--slack is %d: give 1 or more", f.Slack)
	}
	return chooses(f.Only, slices.Concat(faults.Names(), takeover.Names()))
}

// chooses refuses names that are those of no scenarios.
func chooses(only experiment.Only, names []string) error {
	if err := only.Check(names); err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	return nil
}

// Run is `bench faults`.
func (f *faultsCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	found.consulTemplate = seek(peer.ConsulTemplateName, find.FindConsulTemplate)
	found.fabio = seek(peer.FabioName, find.FindFabio)
	slowHTTPTest, err := exec.LookPath("slowhttptest")
	if err != nil && !f.Short {
		fmt.Println("slow clients are our own alone: there is no slowhttptest in PATH (apt-get install slowhttptest)")
	}
	options := experiment.Options{Short: f.Short, Slack: f.Slack, Progress: os.Stdout}
	var outcome experiment.Outcome
	var runErr error
	var wanted bool
	if options.Only, wanted = f.Only.Among(faults.Names()); wanted {
		outcome, runErr = faults.Run(ctx, faults.Options{
			Bin: g.Bin, Consul: found.consul, HAProxy: found.haproxy, Peers: found.peers(), SlowHTTPTest: slowHTTPTest,
			Upstream: []string{self, "upstream"}, LBArgs: f.LBArg, Options: options,
		})
	}
	if options.Only, wanted = f.Only.Among(takeover.Names()); wanted && runErr == nil {
		var connectors experiment.Outcome
		connectors, runErr = takeover.Run(ctx, takeover.Options{
			Bin: g.Bin, Consul: found.consul, HAProxy: found.haproxy, RabbitMQ: findRabbitMQ(), Options: options,
		})
		outcome.Add(connectors)
	}
	return g.conclude(outcome, faults.Report("Faults", outcome, circumstances(ctx, found)), "faults", runErr)
}

// conclude writes the report of scenarios and prints what they amount to. What kept some of them from being played is its
// error, behind a report of those that were.
func (g *grammar) conclude(outcome experiment.Outcome, page *report.Page, name string, runErr error) error {
	passed, err := outcome.Conclude(os.Stdout, page, g.Out, name, runErr)
	g.fellShort = !passed
	return err
}

type upstreamCommand struct {
	Listen program.HostPort `required:"" help:"Address to serve on."`
	Record string           `required:"" placeholder:"FILE" help:"File that gets the id of each request that is executed."`
}

// Run is `bench upstream`.
func (u *upstreamCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	return faults.Upstream(ctx, string(u.Listen), u.Record)
}
