package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/admin"
	"zatoha/lb/state"
)

// askTimeout bounds the wait for an action; the controller gives up before.
const askTimeout = admin.ActionTimeout + 5*time.Second

// actions are what the running controller does when an operator asks.
func (c *controller) actions() map[string]admin.Action {
	return map[string]admin.Action{
		"release": func(context.Context) (any, error) {
			if released := c.loop.Release(); len(released) > 0 {
				return released, nil
			}
			return nil, errors.New("the guard holds nothing back")
		},
		"rollback": func(ctx context.Context) (any, error) {
			done, err := c.plane.Rollback(ctx)
			c.loop.Rewritten(done)
			return rolledBack, err
		},
	}
}

const rolledBack = "rolled back: the last good design is in place, with the servers of now"

// releaseCommand lets the guard's removals through.
type releaseCommand struct {
	Admin program.HostPort `default:"127.0.0.1:11224" help:"Address of the controller's status page."`
}

// Run asks the controller, and prints what was let through.
func (r *releaseCommand) Run(ctx context.Context, _ zerolog.Logger) error {
	var released []state.Change
	if err := ask(ctx, r.Admin, "release", &released); err != nil {
		return err
	}
	for _, change := range released {
		fmt.Println("let through:", change)
	}
	return nil
}

// rollbackCommand returns to the design before the last one.
type rollbackCommand struct {
	Admin program.HostPort `default:"127.0.0.1:11224" help:"Address of the controller's status page."`
}

// Run asks the controller; if none runs, it does the same itself.
func (r *rollbackCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	unlock, err := lock(g.StateDir)
	if err != nil {
		said := ""
		if err := ask(ctx, r.Admin, "rollback", &said); err != nil {
			return err
		}
		fmt.Println(said)
		return nil
	}
	defer unlock()
	plane, err := g.plane(haproxy.DefaultOptions(), log, func() {})
	if err != nil {
		return err
	}
	done, err := plane.Rollback(ctx)
	if done.Edited != "" {
		log.Warn().Str("edited", done.Edited).Msg("somebody had edited our lines in haproxy.cfg, they are as they should be")
	}
	if err != nil {
		return err
	}
	fmt.Println(rolledBack)
	return nil
}

// ask has the controller do something and decodes its answer.
func ask(ctx context.Context, controller program.HostPort, action string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	url := fmt.Sprintf("http://%s/actions/%s", controller, action)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no controller answers at %s: %w: start it, or say where it is by --admin", controller, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		var failure admin.Failure
		if json.Unmarshal(text, &failure) != nil || failure.Error == "" {
			failure.Error = fmt.Sprintf("%s: %.200s", response.Status, text)
		}
		return fmt.Errorf("%s: %s", action, failure.Error)
	}
	return json.Unmarshal(text, result)
}

// stopCommand ends HAProxy.
type stopCommand struct{}

// Run ends HAProxy and removes its sockets and pid file.
func (stopCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	if g.DataPlane.URL != "" {
		return program.BadConfig("--dataplane-url", "the HAProxy there was not started by us, so it is not ours to stop", "stop it as it was started, on its own machine")
	}
	ctx, cancel := context.WithTimeout(ctx, process.StopTimeout)
	defer cancel()
	if err := process.Stop(ctx, g.paths()); err != nil {
		return err
	}
	log.Info().Str("state_dir", g.StateDir).Msg("haproxy is stopped")
	return nil
}
