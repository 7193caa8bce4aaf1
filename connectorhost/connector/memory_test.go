package connector

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyWhatSucceededBeforeIsNotCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		first := Message{ID: "a", Stable: true}
		again := Message{ID: "a", Stable: true, Redelivered: true}
		known := func(message Message) bool {
			through, succeeded := m.begin(t.Context(), message)
			through(succeeded)
			return succeeded
		}
		through, succeeded := m.begin(t.Context(), first)
		if succeeded {
			t.Fatal("known at the first time")
		}
		through(false)
		if known(again) {
			t.Error("known though it failed")
		}
		through, _ = m.begin(t.Context(), first)
		through(true)
		if !known(again) {
			t.Error("not known though it succeeded")
		}
		if known(Message{ID: "a", Redelivered: true}) {
			t.Error("a name that is not the message's own counts")
		}
		if !known(again) {
			t.Error("forgotten")
		}
		time.Sleep(memoryTime + time.Second)
		if known(again) {
			t.Error("remembered for ever")
		}
		through, _ = m.begin(t.Context(), first)
		time.Sleep(2 * memoryTime) // in hand, until its service was there
		through(true)
		if !known(again) {
			t.Error("forgotten because its service was away for long")
		}
		if known(Message{ID: "a", Stable: true, Redelivered: true, Body: []byte("of another order")}) {
			t.Error("another message to which its publisher gave the same name counts")
		}
		if !known(again) {
			t.Error("forgotten because of another message")
		}
		if known(first) {
			t.Error("a message that was not delivered again is taken for one that was")
		}
	})
}

func TestARedeliveryWaitsForTheCallThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		through, _ := m.begin(t.Context(), Message{ID: "a", Stable: true})
		answers := make(chan bool)
		again := func(ctx context.Context) {
			through, succeeded := m.begin(ctx, Message{ID: "a", Stable: true, Redelivered: true})
			through(succeeded)
			answers <- succeeded
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go again(impatient)
		if <-answers {
			t.Error("succeeded before the end")
		}
		go again(t.Context())
		synctest.Wait()
		through(true)
		if !<-answers {
			t.Error("does not know how the call ended")
		}
	})
}

func TestOfSeveralRedeliveriesOneIsCalledAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		through, _ := m.begin(t.Context(), Message{ID: "a", Stable: true})
		var calls, succeeded atomic.Int64
		for range 3 {
			go func() {
				through, before := m.begin(t.Context(), Message{ID: "a", Stable: true, Redelivered: true})
				if before {
					succeeded.Add(1)
					return
				}
				calls.Add(1)
				time.Sleep(time.Second)
				through(true)
			}()
		}
		synctest.Wait()
		through(false)
		time.Sleep(time.Minute)
		if calls.Load() != 1 || succeeded.Load() != 2 {
			t.Errorf("called %d times, and %d knew of that", calls.Load(), succeeded.Load())
		}
	})
}

func TestTheMemoryIsBoundedAndKnowsAllThatIsInFlight(t *testing.T) {
	for _, inFlight := range []int{1, 3 * memoryLeast} {
		m := newMemory(inFlight)
		name := func(i int) Message { return Message{ID: fmt.Sprint(i), Stable: true, Redelivered: true} }
		through := make([]func(bool), inFlight)
		for i := range through {
			through[i], _ = m.begin(t.Context(), name(i))
		}
		last := inFlight + 3*m.size
		for i := inFlight; i < last; i++ {
			through, _ := m.begin(t.Context(), name(i))
			through(true)
		}
		if len(m.latest) != m.size+inFlight || m.size < memoryLeast || m.size < inFlight {
			t.Errorf("%d in flight: %d are remembered", inFlight, len(m.latest))
		}
		if _, succeeded := m.begin(t.Context(), name(last-m.size)); !succeeded {
			t.Error("one of the latest is forgotten")
		}
		if _, succeeded := m.begin(t.Context(), name(last-m.size-1)); succeeded {
			t.Error("an early one is remembered")
		}
		for i := range through {
			through[i](true)
			if _, succeeded := m.begin(t.Context(), name(i)); !succeeded {
				t.Fatal("one whose call ran is forgotten")
			}
		}
	}
}
