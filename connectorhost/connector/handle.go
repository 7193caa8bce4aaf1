package connector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// perform handles one delivery and then frees its slot.
func (p *pump) perform(t task, free func()) {
	p.enter(t.delivery)
	p.handle(t.connection, t.delivery)
	if p.status.inFlight.Add(-1) == 0 {
		p.status.reached(nil) // nothing is left that would find out
	}
	free()
	<-p.slots
	p.handlers.Done()
}

// handle takes one delivery from its receipt to its verdict. connection ends when the delivery's connection does; its
// message is then delivered again, and trying it further is of no use.
func (p *pump) handle(connection context.Context, d Delivery) {
	if d.Unfit != "" {
		p.settle(connection, d, p.can.aside(), Outcome{Reason: d.Unfit, Attempts: d.Attempt - 1})
		return
	}
	through, succeeded := p.memory.begin(p.life, d.Message)
	if succeeded {
		p.status.counts.duplicates.Add(1)
		p.settle(connection, d, Accept, Outcome{Reason: "succeeded before"})
		return
	}
	verdict, outcome, decided := p.attempts(connection, d)
	through(decided && verdict == Accept)
	if decided {
		p.settle(connection, d, verdict, outcome)
	}
}

func (p *pump) enter(d Delivery) {
	p.status.inFlight.Add(1)
	p.status.counts.received.Add(1)
	if d.Redelivered {
		p.status.counts.redelivered.Add(1)
	}
	p.status.lastMessage.Store(time.Now().UnixNano())
}

// attempts calls the service until there is a verdict. There is none after a fence, nor if the connection is lost
// between two attempts.
func (p *pump) attempts(connection context.Context, d Delivery) (verdict Verdict, outcome Outcome, decided bool) {
	number, unreachable, broken := max(d.Attempt, 1), 0, 0
	for {
		err := p.invoker.Invoke(p.life, d.Message)
		if errors.Is(err, ErrInterrupted) {
			broken++
		}
		s := judge(attempt{
			err: err, number: number, broken: broken, max: p.definition.MaxAttempts, can: p.can,
			draining: closed(p.stopping), ended: p.life.Err() != nil,
		})
		if s.fenced {
			p.fence(fmt.Errorf("message %s: %w", d.ID, err))
			return 0, Outcome{}, false
		}
		d.Redelivered = true // for the next attempt
		p.note(d, err, number, broken, s)
		if s.settle && (s.verdict != GiveBack || !s.counted || closed(p.stopping)) {
			return s.verdict, Outcome{Reason: reasonOf(err), Attempts: counted(number, s) + broken}, true
		}
		delay := betweenAttempts.after(number)
		switch {
		case s.counted:
			unreachable = 0
		case errors.Is(err, ErrInterrupted):
			unreachable, delay = 0, afterInterrupted.after(broken)
		default:
			unreachable++
			delay = whileUnavailable.after(unreachable)
		}
		switch {
		case !p.rest(connection, delay) || p.fenced():
			return 0, Outcome{}, false
		case s.settle || p.can.Redelivers && closed(p.stopping):
			return GiveBack, Outcome{Reason: reasonOf(err), Attempts: counted(number, s) + broken}, true
		}
		if s.counted {
			number++
		}
	}
}

// counted is how many attempts there were, the one that is judged included if it counts.
func counted(number int, s step) int {
	if s.counted {
		return number
	}
	return number - 1
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// note counts an attempt, and logs it if it failed.
func (p *pump) note(d Delivery, err error, number, broken int, s step) {
	switch {
	case err == nil:
		p.status.reached(nil)
	case s.counted:
		p.status.reached(nil)
		p.status.counts.failed.Add(1)
		p.log.Warn("the service failed", "message", d.ID, "attempt", number, "of", p.definition.MaxAttempts, "error", err)
	case errors.Is(err, ErrInterrupted):
		p.status.reached(err)
		p.status.counts.interrupted.Add(1)
		p.log.Warn("the server was gone before it answered", "message", d.ID, "time", broken, "of", mostInterruptions(p.definition.MaxAttempts), "error", err)
	case p.life.Err() == nil:
		p.status.reached(err)
		p.status.counts.unavailable.Add(1)
	}
}

// rest waits between two attempts, and returns early when the message may be given back. It says whether there is still
// somebody to give it back to.
func (p *pump) rest(connection context.Context, delay time.Duration) bool {
	stopping := p.stopping
	if !p.can.Redelivers {
		stopping = nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stopping:
	case <-p.life.Done():
	case <-connection.Done():
	}
	return connection.Err() == nil || !p.can.Redelivers
}

// settle tells the broker.
func (p *pump) settle(connection context.Context, d Delivery, verdict Verdict, outcome Outcome) {
	if p.fenced() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.life), settleTime)
	defer cancel()
	err := fmt.Errorf("%w any more", ErrNotConnected)
	if connection.Err() == nil || !p.can.Redelivers {
		err = d.Settle(ctx, verdict, outcome)
	}
	if err != nil {
		p.status.counts.unsettled.Add(1)
		p.log.Warn("the broker did not take the verdict, the message will come again",
			"message", d.ID, "verdict", verdict.String(), "error", err)
		if verdict == Park {
			p.rest(connection, whileUnavailable.most) // a message that cannot be parked comes again at once
		}
		return
	}
	switch verdict {
	case Accept:
		p.status.counts.accepted.Add(1)
	case GiveBack:
		p.status.counts.givenBack.Add(1)
	case Park:
		p.status.counts.parked.Add(1)
		p.log.Error("message parked", "message", d.ID, "attempts", outcome.Attempts, "reason", outcome.Reason)
	case Drop:
		p.status.counts.dropped.Add(1)
		p.log.Error("message dropped: this kind of connector has no place for it", "message", d.ID, "attempts", outcome.Attempts, "reason", outcome.Reason)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
