package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"zatoha/bench/edge"
	"zatoha/deploy/program"
)

type edgeCommand struct {
	Trials  int    `short:"n" help:"Trials of each scenario; 0 for each scenario's own number, 10 for most."`
	Short   bool   `help:"One trial of each, and shorter faults."`
	Only    string `placeholder:"NAME" help:"Only the scenarios with NAME, or one of several parted by commas, in their names."`
	NextBin string `placeholder:"FOLDER" help:"Folder with the programs that are upgraded to, built by: make build RELEASE=next BIN=FOLDER. Default: next in the folder of the programs."`
	Next    string `default:"next" help:"The version that those tell."`
}

// Run is `bench edge`.
func (e *edgeCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if e.Trials < 0 {
		return fmt.Errorf("--trials: %d: must not be negative", e.Trials)
	}
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
	results, runErr := edge.Run(ctx, edge.Options{
		Bin: g.Bin, NextBin: e.NextBin, Next: e.Next, Consul: found.consul, HAProxy: found.haproxy, RabbitMQ: findRabbitMQ(),
		Trials: e.Trials, Short: e.Short, Only: e.Only, Progress: os.Stdout,
	})
	return g.conclude(ctx, found, "edge", "edge: ", results, runErr)
}
