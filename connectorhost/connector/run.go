package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options say how [Run] runs a channel, and a [Sender] an outgoing connector.
type Options struct {
	// Report is told the status: at once when the state changes, and a few times a second at most while only counts do. It
	// is called by one goroutine at a time, and must return soon. May be nil.
	Report func(Status)

	// Begin, if not nil, makes Run wait, connected and prepared, until it is closed, before the first message is taken.
	// That is how a new process stands ready while the old one finishes.
	Begin <-chan struct{}

	// Drain bounds how long a connector may take from the order to stop until it has finished what is in flight; what is
	// not finished then is given back, or dropped by a kind that cannot, which takes a moment more. 0 stands for
	// [DefaultDrain].
	Drain time.Duration

	// Log is told what happens to single messages and connections. May be nil.
	Log *slog.Logger
}

// DefaultDrain is for connectors that are not told how long.
const DefaultDrain = 10 * time.Second

func (o Options) withDefaults() Options {
	if o.Drain <= 0 {
		o.Drain = DefaultDrain
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Bounds of calls into a source or sink. A kind keeps them too, but nobody counts on that.
const (
	connectTime = 30 * time.Second
	settleTime  = 30 * time.Second
	stopTime    = 5 * time.Second
	closeTime   = 5 * time.Second
)

// Run runs a channel until ctx ends, which is a clean stop and no error: it receives no more, finishes what is in flight,
// settles it and closes. It ends earlier, with an error, when it is fenced ([ErrFenced]: at once, nothing is finished,
// the broker gets back what is unsettled) and when the definition cannot work ([ErrDefinition]). Nothing else ends it.
func Run(ctx context.Context, d *Definition, invoker Invoker, options Options) error {
	if d.Settings == nil || d.Role != Channel {
		return fmt.Errorf("run connector %q: %w: it is no channel", d.Name, ErrDefinition)
	}
	options = options.withDefaults()
	p := &pump{
		definition: d, can: d.Settings.Capabilities(), invoker: invoker, options: options, log: options.Log,
		status: newTracker(d, options.Report), memory: newMemory(d.Settings.InFlight()), slots: make(chan struct{}, max(d.Settings.InFlight(), 1)),
		crew: newCrew(),
	}
	p.source = d.Settings.Source(Environment{Name: d.Name, Blocked: p.status.blocked})
	return p.run(ctx)
}

// pump is a running channel.
type pump struct {
	definition *Definition
	can        Capabilities
	invoker    Invoker
	options    Options
	log        *slog.Logger
	source     Source
	status     *tracker
	memory     *memory

	slots    chan struct{}  // one for each delivery in flight
	handlers sync.WaitGroup // of the deliveries in flight
	crew     crew           // who handles them

	// Set by run. Deliveries may outlive the connection that they came by, and finish after the stop.
	stopping <-chan struct{}   // closed when the connector is to stop
	life     context.Context   // of the attempts; ends with the time to drain
	end      func(cause error) // ends life
	fence    func(cause error) // ends all at once
}

func (p *pump) run(ctx context.Context) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p.stopping, p.life, p.end = ctx.Done(), life, end
	p.fence = func(cause error) {
		stop(cause)
		end(cause)
	}
	defer p.status.ending()()
	var limiting sync.WaitGroup
	limiting.Go(p.limit)
	err := reconnecting(ctx, p.status, p.log, p.serve)
	stop(nil)
	p.finish()
	p.handlers.Wait()
	p.crew.dismiss()
	end(nil)
	limiting.Wait()
	return p.status.end(p.definition.Name, err)
}

// limit ends the attempts when the time to drain is over. It is one for all that a stop has to do, since whoever ordered
// it has no more patience than that.
func (p *pump) limit() {
	select {
	case <-p.stopping:
	case <-p.life.Done():
		return
	}
	if pause(p.life, p.options.Drain) {
		p.end(errDrained)
	}
}

// errDrained ends what has not been finished within the time for that.
var errDrained = errors.New("the connector was stopped, and the time to finish was over")

// serve runs one connection: until it fails or ctx ends. worked says whether it was of any use.
func (p *pump) serve(ctx context.Context) (worked bool, err error) {
	connection, lost := context.WithCancel(context.WithoutCancel(ctx))
	defer p.status.blocked("")
	defer p.close()
	defer lost()
	if err := bounded(ctx, connectTime, p.source.Connect); err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	p.status.counts.connects.Add(1)
	since, settled := time.Now(), p.status.counts.settled()
	if err := p.start(ctx); err != nil {
		return false, fmt.Errorf("start to consume: %w", err)
	}
	err = p.receive(ctx, connection)
	if ctx.Err() != nil && !p.fenced() {
		p.status.enter(Draining, "")
		if err := bounded(p.life, min(stopTime, p.options.Drain/2), p.source.Stop); err != nil {
			p.log.Warn("the broker was not told to stop", "error", err)
		}
		p.takeRest(connection)
		p.finish()
	}
	return p.status.counts.settled() > settled || time.Since(since) > goodFor, err
}

// start waits for the word to begin, and then for the exclusive hold, if somebody else has it.
func (p *pump) start(ctx context.Context) error {
	if p.options.Begin != nil {
		select {
		case <-p.options.Begin:
		default:
			p.status.enter(Prepared, "")
			select {
			case <-p.options.Begin:
			case <-p.lost():
				return p.whyLost(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	for failures := 1; ; failures++ {
		err := bounded(ctx, connectTime, p.source.Start)
		if err == nil {
			p.status.enter(Running, "")
			return nil
		}
		if react(err) != askAgain {
			return err
		}
		p.status.enter(Waiting, err.Error())
		if !pause(ctx, whileHeld.after(failures)) {
			return ctx.Err()
		}
	}
}

// receive takes messages, and hands each to a goroutine of its own, until ctx ends or the source fails.
func (p *pump) receive(ctx, connection context.Context) error {
	failures := 0
	for {
		select {
		case p.slots <- struct{}{}:
		case <-p.lost():
			return fmt.Errorf("receive: %w", p.whyLost(ctx))
		case <-ctx.Done():
			return nil
		}
		delivery, err := p.source.Receive(ctx)
		if err == nil {
			failures = 0
			p.handlers.Add(1)
			p.crew.do(task{connection, delivery}, p.perform)
			continue
		}
		<-p.slots
		if ctx.Err() != nil {
			return nil
		}
		if react(err) != wait {
			return fmt.Errorf("receive: %w", err)
		}
		failures++
		if !pause(ctx, whileBackingOff.after(failures)) {
			return nil
		}
	}
}

// takeRest receives what a stopped source has and cannot give back. What is still there when the time to drain is over is
// received too, for as long as that takes no time to speak of, because nobody could count what is not.
func (p *pump) takeRest(connection context.Context) {
	if p.can.Redelivers {
		return
	}
	take := func(ctx context.Context) error { return p.receive(ctx, connection) }
	err := take(p.life)
	if err == nil && !p.fenced() {
		err = bounded(context.WithoutCancel(p.life), p.options.Drain/10, take)
	}
	if err == nil && !p.fenced() {
		p.log.Error("the connector was stopped, and the time to finish was over: more messages that were taken are lost than could be counted")
	}
}

// lost is closed when the connection is lost, if the source can tell.
func (p *pump) lost() <-chan struct{} {
	if watched, can := p.source.(Watched); can {
		return watched.Lost()
	}
	return nil
}

// whyLost asks the source. What it may still have received goes back to the broker.
func (p *pump) whyLost(ctx context.Context) error {
	if _, err := p.source.Receive(ctx); err != nil {
		return err
	}
	return ErrNotConnected
}

// finish waits for what is in flight until the time to drain is over, and then a moment until the rest is given back.
func (p *pump) finish() {
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		p.handlers.Wait()
	}()
	select {
	case <-idle:
		return
	case <-p.life.Done():
	}
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
}

// fenced says whether all was ended at once. Then the broker is told nothing any more.
func (p *pump) fenced() bool {
	cause := context.Cause(p.life)
	return cause != nil && !errors.Is(cause, errDrained)
}

func (p *pump) close() {
	if err := bounded(context.WithoutCancel(p.life), closeTime, p.source.Close); err != nil {
		p.log.Info("the connection was not closed in good order", "error", err)
	}
}

// bounded calls with a deadline.
func bounded(ctx context.Context, bound time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return call(ctx)
}

// pause waits and says whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
