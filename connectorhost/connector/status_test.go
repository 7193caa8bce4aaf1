package connector

import (
	"testing"
	"testing/synctest"
	"time"
)

// A delivery is counted a moment before it is no longer in flight, and a report may come between.
func TestTheLastReportHasNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last Status
		reports := 0
		tr := newTracker(&Definition{Settings: nothing{}}, func(s Status) { last, reports = s, reports+1 })
		defer tr.ending()()
		tr.enter(Running, "")
		tr.inFlight.Add(1)
		tr.counts.accepted.Add(1)
		pass(2 * reportEvery)
		if last.InFlight != 1 || last.Counts.Accepted != 1 {
			t.Errorf("while it is in flight: %+v", last)
		}
		tr.inFlight.Add(-1)
		pass(2 * reportEvery)
		if last.InFlight != 0 {
			t.Errorf("when it no longer is: %+v", last)
		}
		before := reports
		pass(time.Minute)
		if reports != before {
			t.Errorf("%d reports of nothing new", reports-before)
		}
	})
}

// pass lets time pass, and what is due then happen.
func pass(long time.Duration) {
	time.Sleep(long)
	synctest.Wait()
}

// nothing are the settings of no kind.
type nothing struct{ Settings }

func (nothing) Capabilities() Capabilities { return Capabilities{} }
