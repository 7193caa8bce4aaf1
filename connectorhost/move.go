package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
)

// moveCommand hands the role over to another host.
type moveCommand struct {
	Host  string           `arg:"" help:"Service ID of the host that is to be active; see the status command."`
	Admin program.HostPort `default:"127.0.0.1:17110" help:"Address of any connector host, as its --listen."`
	Wait  time.Duration    `default:"30s" help:"Longest wait for the other host to be active."`
}

// Validate is kong's hook.
func (m *moveCommand) Validate() error {
	if !program.ValidName(m.Host) {
		return fmt.Errorf("%q: %s", m.Host, program.NameRule)
	}
	if m.Wait <= 0 {
		return fmt.Errorf("--wait: %v: must be positive", m.Wait)
	}
	return nil
}

const movePoll = 20 * time.Millisecond

// Run asks the active host, wherever it is, and waits until the other one has taken over.
func (m *moveCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, m.Wait)
	defer cancel()
	asked, err := fetch(ctx, string(m.Admin))
	if err != nil {
		return err
	}
	if !asked.Held {
		return errors.New("no host is active, there is nothing to move")
	}
	begun := time.Now()
	if err := call(ctx, http.MethodPost, asked.Holder.Address, "/move", moveRequest{To: m.Host}, &moveRequest{}); err != nil {
		return fmt.Errorf("%s at %s: %w", asked.Holder.Host, asked.Holder.Address, err)
	}
	tick := time.NewTicker(movePoll)
	defer tick.Stop()
	for {
		now, err := fetch(ctx, string(m.Admin))
		if err == nil && now.Held && now.Holder.Epoch > asked.Holder.Epoch {
			if now.Holder.Host != m.Host {
				return fmt.Errorf("%s took over instead: %s did not in time", now.Holder.Host, m.Host)
			}
			fmt.Printf("moved from %s to %s in %v, epoch %d\n",
				asked.Holder.Host, m.Host, time.Since(begun).Round(time.Millisecond), now.Holder.Epoch)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not active after %v: its connectors may still be draining, see the status command", m.Host, m.Wait)
		case <-tick.C:
		}
	}
}
