package connector

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyWhatSucceededBeforeIsNotCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
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
		through(true)
		if known(first) {
			t.Error("a message that was not delivered again is taken for one that was")
		}
	})
}

func TestARedeliveryWaitsForTheCallThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
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

func TestTheMemoryIsBounded(t *testing.T) {
	m := newMemory()
	for i := range 3 * memorySize {
		through, _ := m.begin(t.Context(), Message{ID: fmt.Sprint(i), Stable: true})
		through(true)
	}
	if len(m.latest) != memorySize {
		t.Errorf("%d are remembered", len(m.latest))
	}
	if _, succeeded := m.begin(t.Context(), Message{ID: fmt.Sprint(3*memorySize - 1), Stable: true, Redelivered: true}); !succeeded {
		t.Error("the latest is forgotten")
	}
}
