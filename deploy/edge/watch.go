package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
)

type watchCommand struct {
	StateFile      string        `required:"" placeholder:"PATH" help:"The --state-file that HAProxy's configuration was made with."`
	ConnectTimeout time.Duration `default:"250ms" help:"The --connect-timeout that HAProxy's configuration was made with: so long a request may be connecting to a cluster that is cut off, which is waited for before it is ended."`
}

// Validate is kong's hook.
func (w *watchCommand) Validate() error {
	return haproxy.CheckTime("--connect-timeout", w.ConnectTimeout, time.Millisecond)
}

// Run watches the outer load balancer of this machine until ctx ends.
func (w *watchCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	if len(g.Sockets) != 1 {
		return program.BadConfig("--sockets", "a watch is for one outer load balancer", "name its own socket, and run one watch on each machine")
	}
	if folder, err := os.Stat(filepath.Dir(w.StateFile)); err != nil || !folder.IsDir() {
		return program.BadConfig("--state-file", filepath.Dir(w.StateFile)+" is no folder", "create it, or name a file in one that is there")
	}
	one := watch{balancer: balancer{g.Sockets[0]}, stateFile: w.StateFile, connect: w.ConnectTimeout, log: log}
	return program.Turning(ctx, log, func(ctx context.Context, turned func()) error {
		one.run(ctx, turned)
		return nil
	})
}

// watch looks after one HAProxy.
type watch struct {
	balancer
	stateFile string
	connect   time.Duration // the longest that connecting to a cluster may take
	log       zerolog.Logger

	down  map[string]time.Time // clusters that were down at the last look, since when
	kept  string               // what the state file says that matters
	quiet bool                 // HAProxy did not answer at the last look
}

const (
	// cutDelay has a cluster be down at two looks in a row, one of which may be early: whatever was connecting to it has
	// been refused by then, and is being tried elsewhere, so that only what hangs is left. Where it is not refused, as by a
	// cluster that is cut off, connecting ends by its own time-out, which is waited for: HAProxy tries a request elsewhere
	// when that fails, but drops it when it is ended before it was sent.
	cutDelay = lookInterval * 9 / 10
	// unreachable is the result of a check of a cluster to which nobody can connect, in time.
	unreachable = "L4TOUT"
)

// run ends the sessions of what has been down for long enough, and keeps the state file up to date. It calls turned
// behind each look, also one that HAProxy did not answer in time.
func (w *watch) run(ctx context.Context, turned func()) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	w.down = map[string]time.Time{}
	for ctx.Err() == nil {
		w.look(context.WithoutCancel(ctx)) // to its end, which is near
		turned()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *watch) look(ctx context.Context) {
	answer, err := w.ask(ctx, lookCommands)
	var endpoints []endpoint
	if err == nil {
		endpoints, err = parse(answer)
	}
	if quiet := err != nil; quiet != w.quiet {
		w.quiet = quiet
		w.log.Warn().Err(err).Str("haproxy", w.socket).Bool("answers", !quiet).Msg("haproxy's runtime socket")
	}
	if err != nil {
		return
	}
	if err := w.keep(answer, endpoints); err != nil {
		w.log.Error().Err(err).Msg("a reload would forget what is drained")
	}
	if err := w.cut(ctx, w.lost(endpoints, time.Now())); err != nil {
		w.log.Error().Err(err).Msg("ending the sessions of a cluster that is down")
	}
}

// keep writes HAProxy's own account of its servers, if anything in it has changed that matters, with the ports that the
// next configuration has.
func (w *watch) keep(answer string, endpoints []endpoint) error {
	var matters strings.Builder
	for _, e := range endpoints {
		fmt.Fprintln(&matters, e.cluster, e.draining, e.maintained, e.well())
	}
	if matters.String() == w.kept {
		return nil
	}
	before, err := os.ReadFile(w.stateFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	states, _, _ := strings.Cut(answer, "# pxname,")
	states = withPorts(strings.TrimSpace(states)+"\n", statePorts(string(before)))
	if err := writeState(w.stateFile, states); err != nil {
		return err
	}
	w.kept = matters.String()
	return nil
}

// lost are the endpoints that have been down for long enough, and have sessions. It notes those that are down now.
func (w *watch) lost(endpoints []endpoint, now time.Time) (all []endpoint) {
	for _, e := range endpoints {
		if e.well() || e.maintained { // who is being maintained may finish what it has
			delete(w.down, e.cluster)
			continue
		}
		if _, known := w.down[e.cluster]; !known {
			w.down[e.cluster] = now
		}
		delay := cutDelay
		if strings.HasSuffix(e.result, unreachable) {
			delay += 2 * w.connect // the time-out, and as much for a machine that is busy
		}
		if e.sessions > 0 && now.Sub(w.down[e.cluster]) >= delay {
			all = append(all, e)
		}
	}
	return all
}

func (w *watch) cut(ctx context.Context, endpoints []endpoint) error {
	for _, e := range endpoints {
		if err := w.tell(ctx, fmt.Sprintf("shutdown sessions server %s/%s", haproxy.EdgeBackend, e.cluster)); err != nil {
			return err
		}
		w.log.Warn().Str("cluster", e.cluster).Int("sessions", e.sessions).Str("check", e.check).
			Msg("the cluster is down: its sessions are ended, to be tried elsewhere")
	}
	return nil
}
