package main

import (
	"context"
	"errors"
	"time"

	"zatoha/bench/history"
	"zatoha/bench/pause"
)

// inHand is for how long a connector may have a message before its turn comes: as long as it takes until the server that
// has another one is known to be gone.
const inHand = 1500 * time.Millisecond

// lateness is how long a message that was taken may take to come, when its connector has many before it in hand.
const lateness = 20 * time.Second

// account is what became of the messages by ZeroMQ that were taken.
type account struct {
	taken       []history.Taken
	runs        []history.Run
	effects     []history.Effect
	withProcess []history.Taken // that never came, and were in hand of a process that ended
	lost        []history.Taken // that never came, otherwise
}

func (a *account) read(on *stage) (err error) {
	if a.runs, err = on.runs(); err != nil {
		return err
	}
	if a.effects, err = on.effects(); err != nil {
		return err
	}
	a.withProcess, a.lost = history.Lost(a.taken, a.effects, a.runs, inHand)
	return nil
}

// account waits until every message has come that has been taken since shortly before the fault, or for as long as one
// may take.
func (p *playing) account(ctx context.Context, began time.Time) (a account, err error) {
	a.taken = p.stage.taken.between(began.Add(-settling), time.Now().Add(-time.Second))
	waiting, cancel := context.WithTimeout(ctx, lateness)
	defer cancel()
	_ = pause.Until(waiting, time.Second, func(context.Context) error {
		if err = a.read(p.stage); err == nil && len(a.lost) > 0 {
			return errors.New("some have not come")
		}
		return nil
	})
	return a, errors.Join(err, ctx.Err())
}

// keeps is the pass line of the messages, of which those by AMQP are judged where there is a RabbitMQ.
func (o options) keeps() string {
	if o.RabbitMQ == "" {
		return "by ZeroMQ no message is lost but what a process had in hand"
	}
	return "by AMQP no message is lost, by ZeroMQ none but what a process had in hand"
}

// judge holds the history against the rules, and looks for the messages that were taken and never came: none by AMQP, and
// by ZeroMQ those alone that a process had in hand when it ended, which is what ZeroMQ promises.
func (p *playing) judge(ctx context.Context, began time.Time) (err error) {
	if p.mail != nil {
		if p.kept, err = p.allCome(ctx); err != nil {
			return err
		}
	}
	a, err := p.account(ctx, began)
	if err != nil {
		return err
	}
	for _, fault := range append(history.Check(a.runs), history.CheckEffects(a.effects)...) {
		p.Fail("%s", fault)
	}
	if len(a.lost) > 0 {
		p.Fail("%d of %d messages that a connector had taken were lost, and not with its process: %s at %v after the fault was the first",
			len(a.lost), len(a.taken), a.lost[0].Message, a.lost[0].At.Sub(began).Round(time.Millisecond))
	}
	p.lost, p.taken = len(a.withProcess), len(a.taken)
	return nil
}
