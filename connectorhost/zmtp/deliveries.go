package zmtp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"
)

// suspectAfter is how long a peer may take to confirm before it gets no more work, until it has.
const suspectAfter = time.Second

// errNotTaken says that a peer does not have a message and will not have it.
var errNotTaken = errors.New("the peer did not take it")

// job is a message on its way to one peer.
type job struct {
	message [][]byte
	result  chan error   // one
	state   atomic.Int32 // waiting, begun or withdrawn
	end     int64        // position in all that was written to the peer, 0 while it is not encoded
}

const (
	waiting int32 = iota
	begun
	withdrawn
)

// begin says whether the message may be written.
func (j *job) begin() bool { return j.state.CompareAndSwap(waiting, begun) }

// finish tells the sender; only the first time counts.
func (j *job) finish(err error) {
	select {
	case j.result <- err:
	default:
	}
}

// withdraw says whether the message will never be written.
func (j *job) withdraw() bool { return j.state.CompareAndSwap(waiting, withdrawn) }

// await returns the fate of the message: nil, [ErrUnconfirmed], or errNotTaken if another peer may have it.
func (j *job) await(ctx context.Context) error {
	patience := time.NewTimer(suspectAfter)
	defer patience.Stop()
	for {
		select {
		case err := <-j.result:
			return err
		case <-patience.C:
			if j.withdraw() {
				return errNotTaken
			}
		case <-ctx.Done():
			return j.abandon(ctx)
		}
	}
}

// abandon is what to tell a sender that cannot wait any longer.
func (j *job) abandon(ctx context.Context) error {
	if j.withdraw() {
		return fmt.Errorf("%w: the peer was busy: %w", ErrNotSent, context.Cause(ctx))
	}
	select {
	case err := <-j.result:
		if errors.Is(err, errNotTaken) {
			return fmt.Errorf("%w: the peer went away: %w", ErrNotSent, context.Cause(ctx))
		}
		return err
	default:
		return fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx))
	}
}

// deliveries are what was written to one peer and is not confirmed.
type deliveries struct {
	changed chan struct{} // has an element when something was confirmed that was waited for
	last    uint64        // PING that was sent
	asked   time.Time     // when

	mu    sync.Mutex
	open  []delivery
	count int  // messages
	full  bool // no more work is taken until something is confirmed
}

// delivery are the messages before one PING.
type delivery struct {
	number uint64
	since  time.Time
	jobs   []*job
}

func (d *deliveries) add(jobs []*job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.open = append(d.open, delivery{number: d.last, since: time.Now(), jobs: jobs})
	d.count += len(jobs)
}

// written lets the time that the peer has begin with the end of the writing.
func (d *deliveries) written() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.open); n > 0 && d.open[n-1].number == d.last {
		d.open[n-1].since = time.Now()
	}
}

// look says whether the peer may have more work, whether it is late with what it has, and after how long to look again;
// not longer at all if it is given up.
func (d *deliveries) look(now time.Time, o Options) (free, late bool, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) == 0 {
		d.full = false
		return true, false, time.Hour
	}
	age := now.Sub(d.open[0].since)
	late, wait = age >= suspectAfter, o.StuckTimeout-age
	d.full = late || d.count >= o.HighWater
	if late {
		return false, true, min(wait, suspectAfter)
	}
	return !d.full, false, min(wait, suspectAfter-age)
}

// ping asks the peer to answer when it has read all that was written before.
func (d *deliveries) ping(library *zmq4.Conn) error {
	d.asked = time.Now()
	return library.SendCmd(zmq4.CmdPing, binary.BigEndian.AppendUint64(noTimeToLive[:len(noTimeToLive):len(noTimeToLive)], d.last))
}

// command takes the peer's answer.
func (d *deliveries) command(cmd *command) error {
	if cmd.name != zmq4.CmdPong {
		return nil
	}
	if len(cmd.body) == 8 {
		d.confirm(binary.BigEndian.Uint64(cmd.body))
		return nil
	}
	// libzmq before 4.2.3 answers without the number, one PONG to each PING in turn.
	d.mu.Lock()
	first := uint64(0)
	if len(d.open) > 0 {
		first = d.open[0].number
	}
	d.mu.Unlock()
	d.confirm(first)
	return nil
}

// confirm ends the deliveries up to a number.
func (d *deliveries) confirm(number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.open) > 0 && d.open[0].number <= number {
		for _, j := range d.open[0].jobs {
			j.finish(nil)
		}
		d.count -= len(d.open[0].jobs)
		d.open[0].jobs = nil
		d.open = d.open[1:]
	}
	if !d.full {
		return // and the peer keeps its place in the queue for work
	}
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// fail ends all deliveries to a peer that is gone.
func (d *deliveries) fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, delivery := range d.open {
		for _, j := range delivery.jobs {
			if j.begin() {
				j.finish(errNotTaken)
			} else {
				j.finish(fmt.Errorf("%w: it went away", ErrUnconfirmed))
			}
		}
	}
	d.open, d.count = nil, 0
}
