// Program redundancy breaks a cluster that runs on several hosts, be it their load balancers, their network or their
// Consul, and two clusters behind outer load balancers, and counts what clients outside notice. The hosts are network
// namespaces of this machine, each with the real programs: see packages netns and fleet.
//
// One case, balancer-host-dies: two of three hosts share a virtual address by keepalived; sixteen raw keep-alive
// connections ask there for /zato/ping. The host that has the address loses its power. From that moment a connection is
// tried every few milliseconds, until one is answered, by the other load balancer: that is the time that is held against
// the pass line. No client of the sixteen may have more than one failed request.
//
// `redundancy --only balancer-host-dies -n 10` plays that ten times, prints a line for each trial, writes
// bin/reports/redundancy.md, and ends with a line that begins with PASS or FAIL, and status 0 or 1. It takes root, and
// where there is none, it says so aloud and ends with status 0.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rs/zerolog"

	"zatoha/bench/experiment"
	"zatoha/deploy/netns"
	"zatoha/deploy/program"
	"zatoha/deploy/tools/find"
)

func main() { os.Exit(run()) }

func run() int {
	g := &grammar{}
	status := program.Main("redundancy", "Breaks a cluster on several hosts, and counts what clients notice.", g)
	if status == 0 && g.Run.fellShort {
		return 1
	}
	return status
}

type grammar struct {
	Run runCommand `cmd:"" default:"withargs" help:"Play the scenarios (the default)."`

	program.Common
}

type runCommand struct {
	Trials    int             `short:"n" help:"Trials of each scenario; 0 for each scenario's own number."`
	Short     bool            `help:"One trial each of the most telling ones, and shorter faults: a minute."`
	Only      experiment.Only `placeholder:"NAME" help:"Only the scenarios of these names, parted by commas; a wrong one lists them."`
	Slack     int             `default:"1" help:"Let times be that many times as long, the TTL of the lease too, and loads as light, on a machine that is slow or does something else beside."`
	Lighter   int             `default:"1" help:"Let loads be that many times as light, and no time longer, on a machine that is too small to be several hosts under load."`
	Partition time.Duration   `default:"60s" help:"How long a host is cut off."`
	Outage    time.Duration   `default:"60s" help:"How long Consul has no quorum."`
	Advert    time.Duration   `default:"200ms" help:"Keepalived's time between two signs of life."`
	Bin       string          `default:"bin" help:"Folder with the programs lb, server, connectorhost, edge, zatoha-consul and recorder."`
	Out       string          `default:"bin/reports" help:"Folder for the report."`

	fellShort bool
}

// Validate is kong's hook.
func (r *runCommand) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse(r.Trials < 0, "--trials: %d: must not be negative", r.Trials)
	refuse(r.Slack < 1, "--slack: %d: must be 1 or more", r.Slack)
	refuse(r.Lighter < 1, "--lighter: %d: must be 1 or more", r.Lighter)
	refuse(r.Partition < time.Second, "--partition: %v: must be at least 1s", r.Partition)
	refuse(r.Outage < time.Second, "--outage: %v: must be at least 1s", r.Outage)
	if err := r.Only.Check(names()); err != nil {
		faults = append(faults, fmt.Errorf("--only: %w", err))
	}
	return errors.Join(faults...)
}

// Run plays what was chosen.
func (r *runCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	if err := netns.Available(ctx); errors.Is(err, netns.ErrNotPermitted) {
		fmt.Println("SKIPPED: nothing was played:", err)
		return nil
	} else if err != nil {
		return program.BadConfig("programs", err.Error(), "")
	}
	o, err := r.options()
	if err != nil {
		return err
	}
	outcome, runErr := play(ctx, o)
	if len(outcome.Results) > 0 {
		fmt.Print(onTerminal(outcome))
	}
	passed, err := outcome.Conclude(os.Stdout, page(outcome, circumstances()), r.Out, "redundancy", runErr)
	r.fellShort = !passed
	return err
}

// options looks for all programs before anything is played.
func (r *runCommand) options() (options, error) {
	o := options{
		Lighter: r.Lighter, Partition: r.Partition, Outage: r.Outage, Advert: r.Advert,
		Options: experiment.Options{Only: r.Only, Trials: r.Trials, Short: r.Short, Slack: r.Slack, Progress: os.Stdout},
	}
	if r.Short {
		o.Partition, o.Outage = min(o.Partition, 5*time.Second), min(o.Outage, 3*time.Second)
	}
	var err error
	if o.Bin, err = filepath.Abs(r.Bin); err != nil {
		return o, err
	}
	for _, name := range []string{"lb", "server", "connectorhost", "edge", "zatoha-consul", "recorder"} {
		if _, err := os.Stat(filepath.Join(o.Bin, name)); err != nil {
			return o, program.BadConfig("--bin", err.Error(), "`make redundancy` builds them all")
		}
	}
	if o.RabbitMQ, err = find.FindRabbitMQ(); err != nil {
		fmt.Println("there are no messages by AMQP:", err)
	}
	var errs [3]error
	o.Consul, errs[0] = find.FindConsul()
	o.HAProxy, errs[1] = find.FindHAProxy()
	o.Keepalived, errs[2] = find.FindKeepalived()
	if err := errors.Join(errs[:]...); err != nil {
		return o, program.BadConfig("programs", err.Error(), "")
	}
	return o, nil
}

func circumstances() string {
	return fmt.Sprintf("%s; zatoha %s; %d cores; hosts are network namespaces of one machine.",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), program.Version(), runtime.NumCPU())
}
