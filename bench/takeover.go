package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"zatoha/bench/experiment"
	"zatoha/bench/takeover"
	"zatoha/deploy/tools/find"
)

// findRabbitMQ is the path of RabbitMQ's start script, or "", said aloud.
func findRabbitMQ() string {
	path, err := find.FindRabbitMQ()
	if err != nil {
		fmt.Println("scenarios of AMQP messages are left out:", err)
	}
	return path
}

// leastMessages is what gives each scenario some.
const leastMessages = 1000

type takeoverCommand struct {
	Trials   int             `short:"n" help:"Trials of each scenario; 0 for each scenario's own number, 30 for most."`
	Messages int             `placeholder:"N" help:"Messages of the storm; 0 for 100,000, of which the other scenarios of messages take a part."`
	Lighter  int             `default:"1" help:"Let ZeroMQ channels get that many times fewer messages, on a machine that is too small for all of them and a fault."`
	Short    bool            `help:"Two trials of each, and shorter faults."`
	Only     experiment.Only `placeholder:"NAME" help:"Only the scenarios of these names, parted by commas; a wrong one lists them."`
}

// Validate refuses what would play nothing.
func (t *takeoverCommand) Validate() error {
	if t.Trials < 0 {
		return fmt.Errorf("--trials: %d: must not be negative", t.Trials)
	}
	if t.Messages < 0 || t.Messages > 0 && t.Messages < leastMessages {
		return fmt.Errorf("--messages: %d: must be 0, or at least %d", t.Messages, leastMessages)
	}
	if t.Lighter < 1 {
		return fmt.Errorf("--lighter: %d: must be 1 or more", t.Lighter)
	}
	return chooses(t.Only, takeover.Names())
}

// Run is `bench takeover`.
func (t *takeoverCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	outcome, runErr := takeover.Run(ctx, takeover.Options{
		Bin: g.Bin, Consul: found.consul, HAProxy: found.haproxy, RabbitMQ: findRabbitMQ(), Messages: t.Messages, Lighter: t.Lighter,
		Options: experiment.Options{Only: t.Only, Trials: t.Trials, Short: t.Short, Progress: os.Stdout},
	})
	return g.conclude(outcome, takeover.Report(outcome, circumstances(ctx, found)), "takeover", runErr)
}
