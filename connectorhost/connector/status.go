package connector

import (
	"sync"
	"sync/atomic"
	"time"
)

// tracker keeps a connector's status and reports it. It is safe for concurrent use.
type tracker struct {
	counts      counters
	inFlight    atomic.Int64
	lastMessage atomic.Int64 // Unix time in nanoseconds
	unreachable atomic.Bool  // the latest attempt reached no service

	mu          sync.Mutex // also serialises the reports
	report      func(Status)
	status      Status // of which counts, in flight and last message are above
	shown       State
	shownReason string
	broker      string // why the broker takes nothing; "" if it does
	service     string // why the service is not reached
	reported    Status
}

// counters are the Counts while they are counted.
type counters struct {
	received, redelivered, accepted, duplicates, failed, unavailable, interrupted, givenBack, parked, dropped, unsettled atomic.Int64
	sent, sendFailures, connects, disconnects                                                                            atomic.Int64
}

func (c *counters) read() Counts {
	return Counts{
		Received: c.received.Load(), Redelivered: c.redelivered.Load(), Accepted: c.accepted.Load(),
		Duplicates: c.duplicates.Load(), Failed: c.failed.Load(), Unavailable: c.unavailable.Load(), Interrupted: c.interrupted.Load(),
		GivenBack: c.givenBack.Load(), Parked: c.parked.Load(), Dropped: c.dropped.Load(), Unsettled: c.unsettled.Load(),
		Sent: c.sent.Load(), SendFailures: c.sendFailures.Load(), Connects: c.connects.Load(), Disconnects: c.disconnects.Load(),
	}
}

// settled only grows while the connector gets on with its work.
func (c *counters) settled() int64 {
	return c.accepted.Load() + c.parked.Load() + c.dropped.Load() + c.givenBack.Load()
}

func newTracker(d *Definition, report func(Status)) *tracker {
	if report == nil {
		report = func(Status) {}
	}
	return &tracker{report: report, status: Status{
		Name: d.Name, Kind: d.Kind, Role: d.Role, Capabilities: d.Settings.Capabilities(),
	}}
}

// enter sets the state and reports it.
func (t *tracker) enter(state State, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.State, t.status.Reason = state, reason
	t.show()
}

// blocked is what the broker says about itself.
func (t *tracker) blocked(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broker = reason
	t.show()
}

// reached notes whether the latest attempt reached a service; nil if so, or if nothing waits for another.
func (t *tracker) reached(err error) {
	if err == nil && !t.unreachable.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unreachable.Store(err != nil)
	t.service = ""
	if err != nil {
		t.service = err.Error()
	}
	t.show()
}

// show reports what has changed. While the connector runs, what holds it up is its state.
func (t *tracker) show() {
	state, reason := t.status.State, t.status.Reason
	if state == Running {
		switch {
		case t.broker != "":
			state, reason = Blocked, t.broker
		case t.service != "":
			state, reason = Blocked, t.service
		}
	}
	if state == t.shown && reason == t.shownReason {
		return
	}
	if state != t.shown {
		t.status.Since = time.Now()
	}
	t.shown, t.shownReason = state, reason
	t.tell(t.snapshot())
}

// tell reports the status as it is.
func (t *tracker) tell(s Status) {
	t.reported = s
	t.report(s)
}

func (t *tracker) snapshot() Status {
	s := t.status
	s.State, s.Reason = t.shown, t.shownReason
	s.Counts, s.InFlight = t.counts.read(), int(t.inFlight.Load())
	if last := t.lastMessage.Load(); last != 0 {
		s.LastMessage = time.Unix(0, last)
	}
	return s
}

// reportEvery is how often counts are reported while the state stays.
const reportEvery = 250 * time.Millisecond

// follow reports the counts and what is in flight as they change, until done is closed.
func (t *tracker) follow(done <-chan struct{}) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			t.mu.Lock()
			if s := t.snapshot(); s != t.reported {
				t.tell(s)
			}
			t.mu.Unlock()
		}
	}
}
