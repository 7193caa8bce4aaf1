// Package faults breaks a whole cluster of the real programs under load and counts what the clients notice of it.
//
// One case, kill-get: three servers behind the load balancer, 32 raw keep-alive connections of package load asking for
// /zato/ping a thousand times a second; one server gets SIGKILL, is missed for a while, and is started again. Each
// request that was not answered with 2xx is an error, each connection that ended without notice a close, and latencies
// count from when a request was due. The trial passes if there were no errors, no closes, and no request took longer
// than 250 ms; the scenario passes if each of its trials does. What each scenario does, and its pass line, stands in
// the table in scenarios.go. By turns with these trials, the same is done to a peer of the same servers, consul-template
// and an HAProxy of its own; the report puts what clients noticed of it beside ours.
package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"zatoha/bench/load"
)

// Options say what is run and with which programs.
type Options struct {
	Bin            string    // folder with our programs
	Consul         string    // path of Consul
	HAProxy        string    // path of HAProxy
	ConsulTemplate string    // path of consul-template; "": nothing is played on the peer
	SlowHTTPTest   string    // path of slowhttptest; "": its scenarios are left out, as they are of a short run
	Upstream       []string  // command line that runs [Upstream]; its arguments are appended
	Short          bool      // fewer trials and shorter faults
	Slack          int       // bounds of time are that many times as wide, for a machine that does something else beside; 0 is 1
	Only           string    // the scenarios whose names contain it; "" for all
	LBArgs         []string  // more arguments for the load balancer
	Progress       io.Writer // gets a line for each trial
}

// Result is what became of one scenario.
type Result struct {
	Name, Does, PassLine string
	Trials               []Trial
	Failures             []string // of the trials together
	Peer                 Peer
	Elapsed              time.Duration
}

// Peer is what became of a scenario on the peer. It has no pass line.
type Peer struct {
	Does   string  // if that differs
	Trials []Trial // with what kept one from being played to its end as its failure
}

// Trial is one run of a scenario's fault.
type Trial struct {
	Load     load.Report
	Measured []Measured // what else was timed
	Slow     *Slowness  // of a round with slow clients
	Failures []string   // in which respects it fell short of its pass line
}

// Measured is a time that something in a trial took, and the most that it may take; or an amount in another unit.
type Measured struct {
	What        string
	Took, Limit time.Duration // in other units than of time, their number: bytes, or [One] for a ratio of 1
	In          Unit
}

// Unit is what an amount is in.
type Unit int

// The units.
const (
	Time Unit = iota
	Bytes
	Ratio
)

// One is the amount that is a ratio of 1.
const One = 1_000_000

// Text is an amount as a reader wants it.
func (u Unit) Text(amount time.Duration) string {
	switch u {
	case Bytes:
		return fmt.Sprintf("%.1f MB", float64(amount)/1e6)
	case Ratio:
		return fmt.Sprintf("%.3f", float64(amount)/One)
	}
	return Readable(amount)
}

// Passed says whether each trial did, and all together.
func (r Result) Passed() bool {
	return len(r.Trials) > 0 && len(r.Failures) == 0 && !slices.ContainsFunc(r.Trials, func(t Trial) bool { return len(t.Failures) > 0 })
}

// Closes is how many connections ended without notice.
func Closes(report load.Report) (n int) {
	for _, failure := range []load.Failure{load.Reset, load.SilentClose, load.EarlyClose, load.Truncated} {
		n += report.Failures[failure]
	}
	return n
}

// Run runs the scenarios one after the other. Its error is about what prevented that; a scenario that falls short is
// no error but says so in its result. When ctx ends, the results so far are returned with its error.
func Run(ctx context.Context, options Options) ([]Result, error) {
	if options.Short {
		options.SlowHTTPTest = "" // our own slow clients tell as much
	}
	chosen := slices.DeleteFunc(table(options.Short, options.SlowHTTPTest), func(s scenario) bool { return !strings.Contains(s.name, options.Only) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no scenario has %q in its name; there are %s", options.Only, strings.Join(Names(), ", "))
	}
	for i := range chosen {
		chosen[i].slack = max(options.Slack, 1)
	}
	if options.ConsulTemplate == "" {
		for i := range chosen {
			chosen[i].peer = turn{}
		}
	}
	theatre := &theatre{options: options, progress: announce(options.Progress, chosen)}
	results, err := theatre.play(ctx, chosen)
	return results, errors.Join(err, theatre.close(ctx))
}

// Matches says whether there is a scenario with that in its name.
func Matches(only string) bool {
	return slices.ContainsFunc(Names(), func(name string) bool { return strings.Contains(name, only) })
}

// Names are those of the scenarios.
func Names() (names []string) {
	for _, s := range table(false, "slowhttptest") {
		names = append(names, s.name)
	}
	return names
}

func (t *theatre) play(ctx context.Context, chosen []scenario) (results []Result, err error) {
	for _, s := range chosen {
		result, err := t.scenario(ctx, s)
		results = append(results, result)
		if err != nil {
			return results, fmt.Errorf("scenario %s: %w", s.name, err)
		}
	}
	return results, nil
}

// scenario plays all trials of one, those on ours and those on the peer by turns.
func (t *theatre) scenario(ctx context.Context, s scenario) (Result, error) {
	result := Result{Name: s.name, Does: s.does, PassLine: s.passLine(), Peer: Peer{Does: s.peer.does}}
	began := time.Now()
	for i := range max(s.trials, s.peer.trials) {
		if i < s.trials {
			label := fmt.Sprintf("%-20s %d/%d", s.name, i+1, s.trials)
			trial, err := t.trial(ctx, s, label, func(on *stage) Trial { return s.on(ctx, on, i) })
			if err != nil {
				return result, err
			}
			result.Trials = append(result.Trials, trial)
		}
		if i < s.peer.trials {
			label := fmt.Sprintf("%-20s %d/%d on the peer", s.name, i+1, s.peer.trials)
			trial, err := t.trial(ctx, s, label, func(on *stage) Trial { return s.onPeer(ctx, on, t.options.ConsulTemplate, i) })
			if err != nil {
				return result, err
			}
			result.Peer.Trials = append(result.Peer.Trials, trial)
		}
		result.Elapsed = time.Since(began)
	}
	if s.together != nil {
		result.Failures = s.together(result.Trials)
	}
	return result, nil
}

func (t *theatre) trial(ctx context.Context, s scenario, label string, play func(*stage) Trial) (Trial, error) {
	stage, err := t.stage(ctx, s.set)
	if err != nil {
		return Trial{}, err
	}
	trial := play(stage)
	if ctx.Err() != nil {
		return trial, ctx.Err()
	}
	t.progress.trial(label, trial)
	if len(trial.Failures) == 0 {
		return trial, nil
	}
	t.progress.note(label + "  the logs are kept in " + stage.dir)
	return trial, t.abandon(ctx) // what is left of the cluster is no place for another trial
}

// String is the trial in one line.
func (t Trial) String() string {
	verdict := "ok"
	if len(t.Failures) > 0 {
		verdict = "FELL SHORT: " + strings.Join(t.Failures, "; ")
	}
	text := fmt.Sprintf("%d requests, %d errors, %d closes, median %s, p99 %s, worst %s", t.Load.Requests, t.Load.Errors(),
		Closes(t.Load), Readable(t.Load.Latency.Median), Readable(t.Load.Latency.P99), Readable(t.Load.Latency.Worst))
	for _, timed := range timings([]Trial{t}) {
		text += ", " + timed.short()
	}
	return text + "  " + verdict
}

// Readable is a duration as a reader wants it, in milliseconds.
func Readable(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.2f ms", ms)
	}
}
