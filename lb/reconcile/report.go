package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"zatoha/haproxy"
	"zatoha/lb/state"
)

// Report is what the loop knows, for the status page and the metrics. It is a copy; nothing in it changes.
type Report struct {
	Pool     state.Pool
	Held     []state.Change  // removals that the guard does not let through
	Refused  []state.Refusal // instances that cannot be balanced
	Parity   state.Parity    // how far the servers agree on their services
	Index    uint64          // of the last snapshot applied
	Consul   ConsulReport
	LastSync time.Time // when HAProxy was last seen to be as the pool wants it; zero if never

	// LastWhole is when the pool last followed all that Consul said: it answered, and nothing was held. It is noted in each
	// round; zero if it is not known. So old is the last good set, also where Consul answers, and is not believed.
	LastWhole time.Time

	Error    string  // why the last round failed, or ""
	AckError string  // why servers that are drained could not be told so at the last attempt, or ""
	History  []Entry // the last changes, newest first
	Counters Counters
}

// ConsulReport says whether the catalog can be read.
type ConsulReport struct {
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since"` // when that became so, or when it answered last; zero if neither is known
	Error     string    `json:"error,omitempty"`
}

// Whole says whether the pool follows all that Consul says now.
func (r Report) Whole() bool { return r.Consul.Reachable && !r.LastWhole.IsZero() && len(r.Held) == 0 }

// Entry is one applied change, or one of health that HAProxy's own checks found.
type Entry struct {
	At    time.Time `json:"at"`
	Index uint64    `json:"consul_index,omitempty"` // 0 if it was not Consul that caused it
	What  string    `json:"what"`
}

// Counters only grow while the controller runs.
type Counters struct {
	Changes     uint64                    // slots changed because the catalog said so
	Drift       Drift                     // what somebody else had changed, and was set right
	Failures    uint64                    // rounds that failed
	Holds       uint64                    // snapshots of which the guard held something back
	AckFailures uint64                    // failed attempts to tell servers that they are drained
	Reloads     map[haproxy.Reload]uint64 // those that were not yet are not in it
}

// Drift counts what was not as it had been left, by where, and was set right. Nobody had planned these changes.
type Drift struct {
	File    uint64 `json:"file"`    // times that our lines in haproxy.cfg had been edited
	Runtime uint64 `json:"runtime"` // running servers that were others, and times that the front was stopped or HAProxy ran on other lines than ours
}

// historyLength is the number of changes kept for the status page.
const historyLength = 50

// Report is the state after the last round, and of Consul now.
func (l *Loop) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	report := l.report
	report.Pool, report.Consul = l.pool, l.consul // a pool is replaced, never changed
	return report
}

// commit makes the planned pool the present one and notes what the plan did.
func (l *Loop) commit(next state.Pool, plan state.Plan, refused []state.Refusal, seen *catalogSeen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pool = next
	if seen == nil {
		return
	}
	r := &l.report
	if len(plan.Held) > 0 && (len(r.Held) == 0 || r.Index != seen.catalog.Index) {
		r.Counters.Holds++
		l.log.Warn().Uint64("consul_index", seen.catalog.Index).Int("held", len(plan.Held)).
			Msg("too many servers vanished at once, keeping them: see the status page")
	}
	r.Held, r.Refused, r.Index = plan.Held, refused, seen.catalog.Index
	if l.consul.Reachable && len(plan.Held) == 0 {
		r.LastWhole = time.Now()
	}
	r.Counters.Changes += uint64(len(plan.Changes))
	if plan.Grow > 0 {
		l.addHistory(seen.catalog.Index, fmt.Sprintf("grown to %d slots", plan.Grow))
	}
	for _, change := range plan.Changes {
		l.addHistory(seen.catalog.Index, change.String())
	}
}

// addHistory puts an entry in front and logs it. The caller holds the lock.
func (l *Loop) addHistory(index uint64, what string) {
	event := l.log.Info()
	if index > 0 {
		event = event.Uint64("consul_index", index)
	}
	event.Msg(what)
	entry := Entry{At: time.Now(), Index: index, What: what}
	kept := l.report.History[:min(len(l.report.History), historyLength-1)]
	l.report.History = append([]Entry{entry}, kept...)
}

// Tell notes what HAProxy's checks have found, for the status page.
func (l *Loop) Tell(event haproxy.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	health := "down"
	if event.Up {
		health = "up"
	}
	who := ""
	for _, slot := range l.pool.Slots {
		if slot.Name == event.Server && !slot.Free() {
			who = slot.Member.ID + ", "
		}
	}
	l.addHistory(0, fmt.Sprintf("%s %s: %shaproxy's check: %s", event.Server, health, who, event.Reason))
}

// repaired notes servers that ran otherwise than they should, though no plan changed them.
func (l *Loop) repaired(slots []string) {
	if len(slots) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Counters.Drift.Runtime += uint64(len(slots))
	l.addHistory(l.report.Index, "set right: "+strings.Join(slots, ", "))
}

// finish notes how the round ended.
func (l *Loop) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.report.Error
	if err == nil {
		l.report.Error, l.report.LastSync = "", time.Now()
		return
	}
	l.report.Error = err.Error()
	if l.report.LastSync.IsZero() {
		return // haproxy is still starting; if it cannot, its supervisor says so
	}
	l.report.Counters.Failures++
	if was != l.report.Error {
		l.log.Error().Err(err).Msg("haproxy is not as it should be, trying again")
	}
}

// noteAcks notes how telling the drained servers went. What was cut short by the controller's end is no failure.
func (l *Loop) noteAcks(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.report.AckError
	if err == nil {
		l.report.AckError = ""
		return
	}
	l.ackFailed = time.Now()
	l.report.AckError = err.Error()
	l.report.Counters.AckFailures++
	if was == "" {
		l.log.Warn().Err(err).Msg("servers that are drained wait for the word that they may go, trying again")
	}
}
