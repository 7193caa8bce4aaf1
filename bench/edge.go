package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"zatoha/bench/edge"
	"zatoha/bench/experiment"
	"zatoha/bench/faults"
	"zatoha/deploy/program"
)

type edgeCommand struct {
	Trials  int             `short:"n" help:"Trials of each scenario; 0 for each scenario's own number, 10 for most."`
	Short   bool            `help:"One trial of each, and shorter faults."`
	Only    experiment.Only `placeholder:"NAME" help:"Only the scenarios of these names, parted by commas; a wrong one lists them."`
	NextBin string          `placeholder:"FOLDER" help:"Folder with the programs that are upgraded to, built by: make build RELEASE=next BIN=FOLDER. Default: next in the folder of the programs."`
	Next    string          `default:"next" help:"The version that those tell."`
}

// Validate refuses what would play nothing.
func (e *edgeCommand) Validate() error {
	if e.Trials < 0 {
		return fmt.Errorf("--trials: %d: must not be negative", e.Trials)
	}
	return chooses(e.Only, edge.Names())
}

// Run is `bench edge`.
func (e *edgeCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if e.NextBin == "" {
		e.NextBin = filepath.Join(g.Bin, "next")
	}
	for _, path := range []string{filepath.Join(g.Bin, "edge"), filepath.Join(e.NextBin, "edge"), filepath.Join(e.NextBin, "server")} {
		if _, err := os.Stat(path); err != nil {
			return program.BadConfig("--next-bin", err.Error(), "build them by: make build && make build RELEASE=next BIN="+e.NextBin)
		}
	}
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	outcome, runErr := edge.Run(ctx, edge.Options{
		Bin: g.Bin, NextBin: e.NextBin, Next: e.Next, Consul: found.consul, HAProxy: found.haproxy, RabbitMQ: findRabbitMQ(),
		Options: experiment.Options{Only: e.Only, Trials: e.Trials, Short: e.Short, Progress: os.Stdout},
	})
	return g.conclude(outcome, faults.Report("Clusters", outcome, circumstances(ctx, found)), "edge", runErr)
}
