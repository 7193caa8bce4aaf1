package connector

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errSaysNo = errors.New("says no")

func TestEveryEndOfAnAttemptHasItsStep(t *testing.T) {
	unfit := fmt.Errorf("%w: too large", ErrUnfit)
	unavailable := fmt.Errorf("%w: nobody there", ErrUnavailable)
	interrupted := fmt.Errorf("%w: EOF", ErrInterrupted)
	fenced := fmt.Errorf("%w: epoch 8", ErrFenced)
	redelivers := Capabilities{Redelivers: true, DeadLetter: true}
	inPlace := Capabilities{Redelivers: true, RetryInPlace: true, DeadLetter: true}
	for _, test := range []struct {
		name string
		a    attempt
		want step
	}{
		{"a success", attempt{number: 3, can: redelivers}, step{settle: true, verdict: Accept}},
		{"a success after the time", attempt{number: 9, can: redelivers, ended: true, draining: true}, step{settle: true, verdict: Accept}},
		{"a fence", attempt{err: fenced, number: 3, ended: true}, step{fenced: true}},
		{"unfit", attempt{err: unfit, number: 1, can: redelivers}, step{settle: true, verdict: Park, counted: true}},
		{"a failure", attempt{err: errSaysNo, number: 2, can: redelivers}, step{settle: true, verdict: GiveBack, counted: true}},
		{"a failure in place", attempt{err: errSaysNo, number: 2, can: inPlace}, step{verdict: GiveBack, counted: true}},
		{"a failure in place while stopping", attempt{err: errSaysNo, number: 2, can: inPlace, draining: true}, step{settle: true, verdict: GiveBack, counted: true}},
		{"the last failure", attempt{err: errSaysNo, number: 3, can: inPlace}, step{settle: true, verdict: Park, counted: true}},
		{"one more than the last, after lost connections", attempt{err: errSaysNo, number: 7, can: redelivers}, step{settle: true, verdict: Park, counted: true}},
		{"a failure that nobody delivers again", attempt{err: errSaysNo, number: 2, draining: true}, step{counted: true}},
		{"not reached", attempt{err: unavailable, number: 9, can: redelivers}, step{verdict: GiveBack}},
		{"not reached while stopping", attempt{err: unavailable, number: 1, can: redelivers, draining: true}, step{settle: true, verdict: GiveBack}},
		{"not reached while stopping, and nobody delivers again", attempt{err: unavailable, number: 1, draining: true}, step{verdict: GiveBack}},
		{"interrupted more often than it may fail", attempt{err: interrupted, number: 1, broken: 9, can: inPlace}, step{verdict: GiveBack}},
		{"interrupted, and nothing is tried in place", attempt{err: interrupted, number: 3, broken: 1, can: redelivers}, step{verdict: GiveBack}},
		{"interrupted while stopping", attempt{err: interrupted, number: 1, broken: 1, can: redelivers, draining: true}, step{settle: true, verdict: GiveBack}},
		{"interrupted too often", attempt{err: interrupted, number: 1, broken: 10, can: redelivers, draining: true}, step{settle: true, verdict: Park}},
		{"interrupted too often, and no place for it", attempt{err: interrupted, number: 1, broken: 10}, step{settle: true, verdict: Drop}},
		{"out of time", attempt{err: errSaysNo, number: 9, can: redelivers, ended: true}, step{settle: true, verdict: GiveBack}},
		{"out of time, and nobody delivers again", attempt{err: unavailable, number: 1, ended: true}, step{settle: true, verdict: Drop}},
		{"unfit, and no place for it", attempt{err: unfit, number: 1}, step{settle: true, verdict: Drop, counted: true}},
		{"the last failure, and no place for it", attempt{err: errSaysNo, number: 3}, step{settle: true, verdict: Drop, counted: true}},
	} {
		test.a.max = 3
		if got := judge(test.a); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestAMessageIsParkedOrDroppedOnlyByWhatBlamesIt(t *testing.T) {
	ends := []error{nil, errSaysNo, ErrUnfit, ErrUnavailable, ErrFenced, ErrNotConnected, ErrInterrupted}
	rapid.Check(t, func(t *rapid.T) {
		a := attempt{
			err: rapid.SampledFrom(ends).Draw(t, "err"), number: rapid.IntRange(1, 9).Draw(t, "number"), max: rapid.IntRange(1, 9).Draw(t, "max"),
			broken: rapid.IntRange(0, 30).Draw(t, "broken"), draining: rapid.Bool().Draw(t, "draining"), ended: rapid.Bool().Draw(t, "ended"),
			can: Capabilities{
				Redelivers: true, RetryInPlace: rapid.Bool().Draw(t, "in place"), DeadLetter: rapid.Bool().Draw(t, "dead letter"),
			},
		}
		s := judge(a)
		blames := errors.Is(a.err, errSaysNo) || errors.Is(a.err, ErrUnfit) || errors.Is(a.err, ErrNotConnected)
		aside := s.settle && (s.verdict == Park || s.verdict == Drop)
		if aside && (s.verdict == Park) != a.can.DeadLetter {
			t.Fatalf("%+v: %v", a, s.verdict)
		}
		killer := errors.Is(a.err, ErrInterrupted) && a.broken >= mostInterruptions(a.max)
		if aside && !killer && (!blames || !errors.Is(a.err, ErrUnfit) && a.number < a.max) {
			t.Fatalf("%+v: %v", a, s.verdict)
		}
		if s.counted && !blames {
			t.Fatalf("%+v: counted", a)
		}
		if (s.settle && s.verdict == Accept) != (a.err == nil) {
			t.Fatalf("%+v: %+v", a, s)
		}
		if !s.settle && !s.fenced && a.ended {
			t.Fatalf("%+v: goes on for ever", a)
		}
	})
}

func TestErrorsChooseWhatTheLoopDoes(t *testing.T) {
	for err, want := range map[error]action{
		errors.New("any"): reconnect, ErrNotConnected: reconnect, ErrBackOff: wait, ErrHeld: askAgain, ErrRefused: reconnectRarely,
		ErrDefinition: giveUp, &DefinitionError{}: giveUp,
		errors.Join(ErrNotConnected, ErrDefinition): giveUp, errors.Join(ErrNotConnected, ErrRefused): reconnectRarely,
	} {
		if got := react(fmt.Errorf("receive: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func TestPausesGrowUpToABoundWithJitter(t *testing.T) {
	p := pauses{100 * time.Millisecond, time.Second, 2}
	for n, most := range map[int]time.Duration{0: 100, 1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 31: 1000, 32: 1000, 1000: 1000} {
		most *= time.Millisecond
		for range 100 {
			if got := p.after(n); got < most/2 || got > most {
				t.Errorf("after %d: %v, want %v to %v", n, got, most/2, most)
			}
		}
	}
}
