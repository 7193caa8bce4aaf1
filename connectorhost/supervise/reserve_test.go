package supervise

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// pids are the processes of the reserve.
func (r *reserve) pids() (pids []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.waiting {
		pids = append(pids, p.pid())
	}
	return pids
}

// newSupervisor makes one that runs nothing.
func newSupervisor(t *testing.T, options Options) *Supervisor {
	t.Helper()
	options.Policy = DefaultPolicy()
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitReady waits until n processes wait for a connector, none of them the ones that are given, and returns them.
func awaitReady(t *testing.T, r *reserve, n int, but ...int) []int {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		pids := r.pids()
		if len(pids) == n && !slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(but, pid) }) {
			return pids
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v wait, want %d, and none of %v", pids, n, but)
		}
	}
}

func TestAConnectorGetsAProcessThatWaited(t *testing.T) {
	s := newStage(t)
	s.supervisor.Reserve(2, false)
	ready := awaitReady(t, s.supervisor.reserve, 2)
	s.definitions <- []Definition{definition("a", "1", "", false, ""), definition("b", "1", "", false, ""), definition("c", "1", "", false, "")}
	var got []int
	for _, name := range []string{"a", "b", "c"} {
		got = append(got, s.await(name, running("1")).PID)
	}
	if !slices.Equal(got[:2], ready) || slices.Contains(ready, got[2]) {
		t.Errorf("connectors run as %v, what waited was %v", got, ready)
	}
	again := awaitReady(t, s.supervisor.reserve, 2, got...)
	s.tenure.lose()
	<-s.done
	for _, pid := range again {
		if !alive(pid) {
			t.Errorf("process %d has ended with a tenure in which it ran nothing", pid)
		}
	}
}

func TestProcessesThatAreAboutToBeNeededAreStartedWithoutPause(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	defer s.Close()
	r := s.reserve
	pauses := func(soon bool, want time.Duration) {
		t.Helper()
		s.Reserve(3, soon)
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := r.pause(); got != want {
			t.Errorf("soon %v: a pause of %v, want %v", soon, got, want)
		}
	}
	pauses(false, calm)
	pauses(true, 0)
	awaitReady(t, r, 3)
	r.mu.Lock()
	r.vain = 1
	r.mu.Unlock()
	pauses(true, calm) // in vain is in vain
}

func TestAProcessThatEndsWhileItWaitsIsReplaced(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	defer s.Close()
	s.Reserve(1, false)
	first := awaitReady(t, s.reserve, 1)[0]
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s.reserve, 1, first)
}

func TestProcessesThatEndAtOnceAreStartedLessAndLessOften(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{"/bin/false"}})
	defer s.Close()
	r := s.reserve
	var pauses []time.Duration
	for range 10 {
		p, err := r.launch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		<-p.ended
		r.mu.Lock()
		r.lost(p)
		pauses = append(pauses, r.pause())
		r.mu.Unlock()
	}
	if want := []time.Duration{calm, 2 * calm, 4 * calm, 8 * calm}; !slices.Equal(pauses[:4], want) || pauses[9] != calmest {
		t.Errorf("pauses %v", pauses)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = []*process{{ended: make(chan struct{})}}
	r.mu.Unlock()
	if r.pick() == nil || r.pause() != calm {
		t.Errorf("behind one that was of use, the pause is %v", r.pause())
	}
	r.mu.Lock()
}

func TestProcessesThatAreTooManyEndAfterAWhile(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	defer s.Close()
	s.Reserve(3, true)
	ready := awaitReady(t, s.reserve, 3)
	begun := time.Now()
	s.Reserve(1, false)
	if left := awaitReady(t, s.reserve, 1); !slices.Equal(left, ready[:1]) {
		t.Errorf("%v are left of %v", left, ready)
	}
	if took := time.Since(begun); took < surplus {
		t.Errorf("they ended after %v, when somebody might still have taken them", took)
	}
	awaitEnd(t, ready[1:]...)
}

// It may have ended this very moment, so that nobody knows yet.
func TestNoConnectorGetsAProcessThatHasEnded(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	defer s.Close()
	p, err := s.reserve.launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.kill()
	<-p.ended
	s.reserve.mu.Lock()
	s.reserve.waiting = []*process{p}
	s.reserve.mu.Unlock()
	if got := s.reserve.pick(); got != nil || s.Ready() != 0 {
		t.Errorf("got %v, %d are ready", got, s.Ready())
	}
}

func TestNoMoreProcessesAreOnTheirWayThanThereAreProcessors(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	defer s.Close()
	r := s.reserve
	for range cap(r.waking) {
		r.waking <- struct{}{}
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := r.start(ctx); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	<-r.waking
	p, err := r.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.discard()
	r.waking <- struct{}{} // there is room again when the process waits
	select {
	case <-p.awake:
	default:
		t.Error("there was room before")
	}
	for range cap(r.waking) {
		<-r.waking
	}
}

func TestNothingThatWaitsOutlivesTheSupervisor(t *testing.T) {
	s := newSupervisor(t, Options{Command: []string{os.Args[0], "play-child"}})
	s.Reserve(3, false)
	pids := awaitReady(t, s.reserve, 3)
	s.Close()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives on", pid)
		}
	}
}

func TestAProcessThatCannotBeKeptReadyIsSaid(t *testing.T) {
	var said strings.Builder
	s := newSupervisor(t, Options{Command: []string{"/nonexistent/program"}, Log: zerolog.New(&said)})
	if wait := s.reserve.add(); wait != calm || s.Ready() != 0 {
		t.Errorf("%d are ready, the next try in %v", s.Ready(), wait)
	}
	s.Close()
	if !strings.Contains(said.String(), "/nonexistent/program") {
		t.Errorf("said %q", said.String())
	}
}
