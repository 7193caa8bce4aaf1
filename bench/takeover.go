package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

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
	Trials   int    `short:"n" help:"Trials of each scenario; 0 for each scenario's own number, 30 for most."`
	Messages int    `placeholder:"N" help:"Messages of the storm; 0 for 100,000, of which the other scenarios of messages take a part."`
	Short    bool   `help:"Two trials of each, and shorter faults."`
	Only     string `placeholder:"NAME" help:"Only the scenarios with NAME in their names."`
}

// Run is `bench takeover`.
func (t *takeoverCommand) Run(ctx context.Context, _ zerolog.Logger, g *grammar) error {
	if t.Trials < 0 {
		return fmt.Errorf("--trials: %d: must not be negative", t.Trials)
	}
	if t.Messages < 0 || t.Messages > 0 && t.Messages < leastMessages {
		return fmt.Errorf("--messages: %d: must be 0, or at least %d", t.Messages, leastMessages)
	}
	found, err := g.findPrograms()
	if err != nil {
		return err
	}
	outcome, runErr := takeover.Run(ctx, takeover.Options{
		Bin: g.Bin, Consul: found.consul, HAProxy: found.haproxy, RabbitMQ: findRabbitMQ(), Trials: t.Trials, Messages: t.Messages, Short: t.Short, Only: t.Only, Progress: os.Stdout,
	})
	if len(outcome.Results) > 0 {
		path, err := takeover.Report(outcome, circumstances(ctx, found)).Write(g.Out, "takeover")
		if err != nil {
			return errors.Join(runErr, err)
		}
		fmt.Println("the report is in", path)
	}
	if runErr != nil {
		return runErr
	}
	passed, text := takeover.Summary(outcome)
	for _, storm := range outcome.Totals.Storms {
		fmt.Println("messages:", storm)
	}
	g.verdict(passed, "takeover: %s", text)
	return nil
}
