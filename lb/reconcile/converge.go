package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zatoha/haproxy"
	"zatoha/lb/state"
)

// converge sets every running server that differs from its slot, also while the backend lacks some of the slots, and has
// the front open. It says whether all servers that run are as they should be.
func (l *Loop) converge(ctx context.Context, pool state.Pool, plan state.Plan) (set bool, err error) {
	want := l.parting.servers(pool)
	running, err := l.running(ctx)
	if err != nil {
		return false, err
	}
	running, shut := l.open(ctx, want, running)
	running, amiss := l.mend(ctx, want, running)
	amiss = errors.Join(shut, amiss)
	differ := differing(want, running)
	if len(differ) == 0 {
		return true, amiss
	}
	if err := l.noting(l.plane.Set(ctx, differ)); err != nil {
		return false, errors.Join(amiss, err)
	}
	l.repaired(unplanned(differ, plan))
	return true, amiss
}

// running are the servers that run, by name.
func (l *Loop) running(ctx context.Context) (map[string]haproxy.Server, error) {
	servers, err := l.plane.Servers(ctx)
	named := make(map[string]haproxy.Server, len(servers))
	for _, server := range servers {
		named[server.Name] = server
	}
	return named, err
}

// open has the front take connections again if somebody has stopped that, and returns the servers that run then. Attempts
// that do not help come ever more slowly, for each may be a reload; whether one has helped is seen by the next round.
func (l *Loop) open(ctx context.Context, want []haproxy.Server, running map[string]haproxy.Server) (map[string]haproxy.Server, error) {
	if !l.openings.due(time.Now()) {
		return running, l.openings.err
	}
	done, err := l.plane.Open(ctx, want)
	l.Rewritten(done)
	if err != nil {
		return running, l.openings.failed(time.Now(), fmt.Errorf("having the front take connections: %w", err))
	}
	if !done.Opened {
		l.openings.succeeded()
		return running, nil
	}
	_ = l.openings.failed(time.Now(), nil)
	if done.Reload == "" {
		return running, nil
	}
	return l.running(ctx)
}

// mend rebuilds a backend whose slots are not ours, and returns the servers that run then. Reloads that do not help,
// since somebody's configuration has it so, come ever more slowly.
func (l *Loop) mend(ctx context.Context, want []haproxy.Server, running map[string]haproxy.Server) (map[string]haproxy.Server, error) {
	if astray(want, running) == nil {
		l.repairs.succeeded()
		return running, nil
	}
	if !l.repairs.due(time.Now()) {
		return running, l.repairs.err
	}
	if err := l.noting(l.plane.Rebuild(ctx, want, haproxy.ReloadToRepair)); err != nil {
		return running, l.repairs.failed(time.Now(), fmt.Errorf("rebuilding the backend: %w", err))
	}
	running, err := l.running(ctx)
	if err == nil {
		err = astray(want, running)
	}
	if err != nil {
		return running, l.repairs.failed(time.Now(), fmt.Errorf("the backend was rebuilt: %w", err))
	}
	l.repairs.succeeded()
	return running, nil
}

// unplanned are the names of those servers that nobody meant to change: neither the plan, nor the end of a farewell, nor
// a start of HAProxy.
func unplanned(changes []haproxy.Change, plan state.Plan) []string {
	planned := map[string]bool{}
	for _, change := range plan.Changes {
		planned[change.Slot] = true
	}
	var names []string
	for _, change := range changes {
		parted := change.To.Free() && change.From.Admin == haproxy.Drain
		if !planned[change.To.Name] && !parted && !started(change) {
			names = append(names, change.To.Name)
		}
	}
	return names
}

// started says whether a server that is to drain runs as a start or a reload of HAProxy leaves it. The file has no word
// for draining: it has such a server in maintenance, and the slot of one that is parting free.
func started(change haproxy.Change) bool {
	as := change.From
	as.Admin = haproxy.Drain
	return change.From.Admin == haproxy.Maint && change.To.Admin == haproxy.Drain &&
		(!change.To.Differs(as) || change.From.Endpoint() == haproxy.FreeEndpoint)
}

// astray says what is wrong about the slots that run, if they are not those that are wanted. Servers of other names are
// an operator's own, which may stand in our backend, and anywhere in it.
func astray(want []haproxy.Server, running map[string]haproxy.Server) error {
	wanted := make(map[string]bool, len(want))
	for _, server := range want {
		if _, there := running[server.Name]; !there {
			return fmt.Errorf("haproxy runs without %s", server.Name)
		}
		wanted[server.Name] = true
	}
	for name := range running {
		if !wanted[name] && state.IsSlot(name) {
			return fmt.Errorf("haproxy runs %s, which is none of the %d slots: a server line of your own needs another name", name, len(want))
		}
	}
	return nil
}

// differing pairs the wanted servers, in their order, with those that run under their names, where those are others.
func differing(want []haproxy.Server, running map[string]haproxy.Server) []haproxy.Change {
	var differ []haproxy.Change
	for _, server := range want {
		if now, there := running[server.Name]; there && server.Differs(now) {
			differ = append(differ, haproxy.Change{From: now, To: server})
		}
	}
	return differ
}
