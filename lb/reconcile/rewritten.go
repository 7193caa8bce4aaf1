package reconcile

import (
	"maps"

	"zatoha/haproxy"
)

// causes are what the history says of a reload. That the backend has grown is in the history with the change that took
// it.
var causes = map[haproxy.Reload]string{
	haproxy.ReloadToLimit:    "for a server's limit of connections",
	haproxy.ReloadToRepair:   "it ran, or may have run, on other lines than ours",
	haproxy.ReloadToRollBack: "an operator has rolled our lines back",
	haproxy.ReloadToSet:      "our lines are others, for other settings or another version",
	haproxy.ReloadToUndo:     "somebody had stopped the front, or a server's health checks, by the runtime socket",
}

// Rewritten notes what a call to the data plane did: it counts, logs and keeps in the history that somebody had edited
// our lines or stopped the front, and that HAProxy was reloaded.
func (l *Loop) Rewritten(done haproxy.Rewrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counters := &l.report.Counters
	if done.Edited != "" {
		counters.Drift.File++
		l.addHistory(0, "haproxy.cfg set right, somebody had edited our lines: "+done.Edited)
	}
	if done.Opened {
		counters.Drift.Runtime++
		l.addHistory(0, "set right: the front takes connections again, somebody had stopped it by the runtime socket")
	}
	if done.Reload == "" {
		return
	}
	if done.Reload == haproxy.ReloadToRepair {
		counters.Drift.Runtime++
	}
	counters.Reloads = maps.Clone(counters.Reloads) // reports that were handed out stay as they are
	if counters.Reloads == nil {
		counters.Reloads = map[haproxy.Reload]uint64{}
	}
	counters.Reloads[done.Reload]++
	if cause := causes[done.Reload]; cause != "" {
		l.addHistory(0, "haproxy reloaded ("+string(done.Reload)+"): "+cause)
	}
}

// noting is how a call to the data plane ended, after what it did is noted.
func (l *Loop) noting(done haproxy.Rewrite, err error) error {
	l.Rewritten(done)
	return err
}
