package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/admin"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// planCommand shows what a start with these settings would change, whether or not a load balancer runs already.
type planCommand struct{ settings }

// Run reads the file, the running HAProxy and Consul, and prints. It changes nothing.
func (p *planCommand) Run(ctx context.Context, log zerolog.Logger, g *grammar) error {
	agent, err := p.Settings.Client(program.Renewed(log, "the token for Consul"))
	if err != nil {
		return program.BadConfig("", err.Error(), "")
	}
	plane, err := p.plane(g, log, func() {})
	if err != nil {
		return err
	}
	pool, err := lastPool(ctx, plane, p.Slots)
	if err != nil {
		return plane.refusal(err)
	}
	forecast := forecast{pool: pool, place: plane.about().place, running: plane.running(ctx)}
	if forecast.running {
		if forecast.stats, err = plane.Stats(ctx); err != nil {
			return err
		}
	}
	catalog, unreachable := reconcile.Look(ctx, agent, p.Service, pool, p.ServerMaxConn, lookTimeout)
	if unreachable == nil {
		members, refused := state.Desire(catalog)
		members, forecast.parity = state.Compare(pool, catalog, members, p.Parity)
		forecast.plan, forecast.refused = state.Diff(pool, members, p.policy()), refused
	}
	forecast.unreachable, forecast.index = unreachable, catalog.Index
	if forecast.edit, err = plane.Preview(ctx, reconcile.Servers(forecast.plan.ApplyTo(pool))); err != nil {
		return plane.refusal(err)
	}
	return forecast.print(os.Stdout)
}

// lookTimeout bounds the wait for Consul.
const lookTimeout = 5 * time.Second

// forecast is what a start would do.
type forecast struct {
	pool        state.Pool
	plan        state.Plan
	refused     []state.Refusal
	parity      state.Parity
	index       uint64
	unreachable error // why Consul does not say what it wants
	edit        haproxy.Edit
	place       string // of the configuration
	running     bool
	stats       haproxy.Stats // if it runs
}

func (f forecast) print(out io.Writer) error {
	var text strings.Builder
	if f.unreachable != nil {
		fmt.Fprintf(&text, "Consul cannot be asked, so the servers would stay as they are: %v\n", f.unreachable)
	} else {
		fmt.Fprintf(&text, "Servers, at Consul's index %d:\n%s", f.index, indented(f.plan.String()))
	}
	for _, refusal := range f.refused {
		fmt.Fprintf(&text, "  cannot be balanced: %s: %s\n", refusal.ID, refusal.Reason)
	}
	text.WriteString(indentedParity(f.parity))
	if at := f.edit.RolledBack; !at.IsZero() {
		fmt.Fprintf(&text, "HAProxy's settings would not be in effect, they were rolled back at %s: %s\n", at.Format(time.RFC3339), admin.AfterRollback)
	}
	diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(f.edit.Old), B: difflib.SplitLines(f.edit.New), FromFile: f.place + ", now", ToFile: f.place + ", then",
	})
	if err != nil {
		return fmt.Errorf("comparing %s: %w", f.place, err)
	}
	fmt.Fprintf(&text, "%s:\n%s%s\n", f.place, indented(diff), f.radius())
	_, err = io.WriteString(out, text.String())
	return err
}

// radius says how much is touched.
func (f forecast) radius() string {
	reload := "no reload"
	switch {
	case f.edit.Structural && f.running:
		reload = "a reload, which closes no connection but those that are still open after --hard-stop-after"
	case !f.running:
		reload = "no reload, for HAProxy is not running and reads it when it starts"
	}
	touched, taking := f.touched()
	return fmt.Sprintf("Blast radius: %d of %d servers that take traffic, %d of %d slots, %s; %d removals held back.",
		touched, taking, len(f.plan.Changes), len(f.pool.Slots), reload, len(f.plan.Held))
}

// touched counts the servers that take traffic now, by HAProxy's word, and those of them that would be changed.
func (f forecast) touched() (touched, taking int) {
	changed := map[string]bool{}
	for _, change := range f.plan.Changes {
		changed[change.Slot] = true
	}
	for _, slot := range f.pool.Slots {
		if !slot.Free() && admin.TakesTraffic(f.stats.Servers[slot.Name].Traffic, slot.Member) {
			taking++
			if changed[slot.Name] {
				touched++
			}
		}
	}
	return touched, taking
}

// indented is a text with every line set off, or a word that there is none.
func indented(text string) string {
	if text == "" {
		return "  no change\n"
	}
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// indentedParity names the servers whose services differ.
func indentedParity(parity state.Parity) string {
	if lines := parityLines(parity); len(lines) > 0 {
		return indented(strings.Join(lines, "\n"))
	}
	return ""
}
