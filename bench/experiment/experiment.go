// Package experiment plays scenarios on running clusters, each as often as it takes to tell chance from rule, and says
// how the trials stand against their pass lines.
//
// One scenario, from its table to the verdict. Package faults describes kill-get: SIGKILL one of three servers under
// load, thirty trials, 0 errors and no request longer than 250 ms, on a stage of the kind "ordinary":
//
//	s := experiment.Scenario[set, *stage]{
//		Name: "kill-get", PassLine: "0 errors, 0 closes, worst ≤ 250 ms", Stage: ordinary,
//		Turn: experiment.Turn[*stage]{Does: "SIGKILL one of …", Trials: 30, Takes: 6 * time.Second, Play: play},
//	}
//	theatre := experiment.Theatre[set, *stage]{Options: experiment.Options{Only: experiment.Only{"kill-get"}, Progress: os.Stdout}, Build: build}
//	outcome, err := theatre.Run(ctx, []experiment.Scenario[set, *stage]{s})
//
// Run finds that there is a scenario of that name, and announces it: 30 trials, about three minutes. It has Build start a
// cluster in a folder of its own, and calls play with it and a new [Trial], in which play notes the load that it ran
// (Load), what it timed and how long that may take (Measure), what else is worth telling (Note), and where it fell short
// (Fail, JudgeLoad). A line tells of each trial. The stage stays up for the next one as long as nothing goes wrong on it;
// behind a trial that fell short it is taken down, its logs are kept, and the next trial gets a new one. At the end the
// [Outcome] has all trials: a package makes its report of it, and Conclude writes that, prints what fell short, and the
// line that begins with PASS or FAIL.
//
// An error of Run is about what kept scenarios from being played. Whatever goes wrong in a trial is a failure of it.
package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say which scenarios are played, and how.
type Options struct {
	Only     Only
	Trials   int       // of each scenario; 0 for its own number
	Short    bool      // fewer trials and shorter faults
	Slack    int       // bounds of time are that many times as wide, for a machine that does something else beside; 0 is 1
	Progress io.Writer // gets a line for each trial
}

// Scenario is one kind of fault, and what it may cost. Its stages are of type S, and of a kind that a K tells.
type Scenario[K, S any] struct {
	Name, PassLine string
	Stage          K
	Turn[S]                                          // on ours
	Peers          []PeerTurn[S]                     // by turns with ours
	Together       func([]Trial) (failures []string) // what ours are held against, all together; nil: nothing
}

// Turn is how a scenario is played, and how often.
type Turn[S any] struct {
	Does   string // of a peer: if that differs
	Trials int
	Takes  time.Duration // a trial, roughly; 0 if nobody knows
	// Play plays it once. Its error is one more failure of the trial.
	Play func(ctx context.Context, on S, trial *Trial) error
}

// PeerTurn is how a scenario is played on a peer, which has no pass line.
type PeerTurn[S any] struct {
	On string // the peer's name
	Turn[S]
}

// Only are the names of the scenarios that are wanted; none for all.
type Only []string

// Check refuses what is not among the names.
func (o Only) Check(names []string) error {
	for _, name := range o {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no scenario is called %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// Among are those that are among the names, and whether anything of these is wanted.
func (o Only) Among(names []string) (Only, bool) {
	if len(o) == 0 {
		return nil, true
	}
	among := slices.DeleteFunc(slices.Clone(o), func(name string) bool { return !slices.Contains(names, name) })
	return among, len(among) > 0
}

// Names are those of scenarios.
func Names[K, S any](all []Scenario[K, S]) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

// Run plays the scenarios that the options ask for, one after the other. When ctx ends, what came of them so far is
// returned with its error.
func (t *Theatre[K, S]) Run(ctx context.Context, all []Scenario[K, S]) (outcome Outcome, err error) {
	if err := t.Only.Check(Names(all)); err != nil {
		return outcome, err
	}
	var chosen []Scenario[K, S]
	for _, s := range all {
		if t.Trials > 0 {
			s.Trials = t.Trials
		}
		if t.Slack > 1 {
			s.PassLine += fmt.Sprintf(", times up to %d-fold", t.Slack)
		}
		if _, wanted := t.Only.Among([]string{s.Name}); wanted {
			chosen = append(chosen, s)
		}
	}
	defer func() { err = errors.Join(err, t.strike(ctx, false)) }()
	t.progress = announce(t.Progress, chosen)
	for _, s := range chosen {
		result, err := t.scenario(ctx, s)
		outcome.Results = append(outcome.Results, result)
		if err != nil {
			return outcome, fmt.Errorf("scenario %s: %w", s.Name, err)
		}
	}
	return outcome, nil
}

// scenario plays all trials of one, those on ours and those on peers by turns.
func (t *Theatre[K, S]) scenario(ctx context.Context, s Scenario[K, S]) (Result, error) {
	result := Result{Name: s.Name, Does: s.Does, PassLine: s.PassLine}
	type part struct {
		turn   Turn[S]
		whose  string
		trials *[]Trial
	}
	parts, rounds := []part{{s.Turn, "", &result.Trials}}, s.Trials
	result.Peers = make([]Peer, len(s.Peers))
	for i, peer := range s.Peers {
		result.Peers[i] = Peer{On: peer.On, Does: peer.Does}
		parts, rounds = append(parts, part{peer.Turn, " on " + peer.On, &result.Peers[i].Trials}), max(rounds, peer.Trials)
	}
	began := time.Now()
	for i := range rounds {
		for _, by := range parts {
			if i >= by.turn.Trials {
				continue
			}
			trial, err := t.trial(ctx, s.Stage, by.turn, i, fmt.Sprintf("%s %d/%d%s", s.Name, i+1, by.turn.Trials, by.whose))
			if err != nil {
				return result, err
			}
			*by.trials = append(*by.trials, trial)
			result.Elapsed = time.Since(began)
		}
	}
	if s.Together != nil {
		result.Failures = s.Together(result.Trials)
	}
	return result, nil
}
