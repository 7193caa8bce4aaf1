package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Job is what the process of one connector is to do. Its methods may be called from any goroutine.
type Job struct {
	Definition Definition
	Shared     json.RawMessage // see Options
	Epoch      uint64
	Link       net.Conn // to the parent, for what the two have agreed on beside orders and reports

	going    chan struct{}
	draining chan struct{}
	term     *term
	clock    quickClock

	mu  sync.Mutex
	out io.Writer
}

// Going is closed when the connector may receive. It is to prepare itself, and to report Prepared, before.
func (j *Job) Going() <-chan struct{} { return j.going }

// Draining is closed when the connector is to receive nothing more, finish what it has in hand, and return.
func (j *Job) Draining() <-chan struct{} { return j.draining }

// Valid says whether the lease holds this very moment. The process ends when it does not; but a process that was stopped
// for a while may run for an instant before it notices, so whatever has an effect outside asks first.
func (j *Job) Valid() bool { return j.clock.now() < j.term.until(j.Epoch) }

// Report tells the parent what the connector does now. It replaces the report before.
func (j *Job) Report(r Report) error {
	if err := r.Validate(); err != nil {
		return err
	}
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	if len(line) > maxReport {
		return fmt.Errorf("a report of %d bytes, more than %d", len(line), maxReport)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.out.Write(line)
	return err
}

// Work serves one connector until it is told to drain, or fails. An error is reported as the reason; [Permanent] makes it
// one that trying again soon does not help, [ByFence] one that only another epoch ends.
type Work func(ctx context.Context, job *Job) error

// Permanent marks an error that lasts until somebody changes something: a queue that does not exist, say.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// ByFence marks the end of a connector whose epoch is over, as a server said.
func ByFence(err error) error { return byFence{err} }

type byFence struct{ error }

func (b byFence) Unwrap() error { return b.error }

// The descriptors that a child has from its parent, beside its input.
const (
	reports = 3
	link    = 4
	lasting = 5 // see term
)

// ServeChild is the whole life of a process that a [Supervisor] has started. It returns when the work is done. Long
// before that it ends the process, and whatever the work has started, if the lease has ended or the parent is gone. On
// Linux the kernel ends the process, if by then it could not do that itself.
func ServeChild(ctx context.Context, work Work) error {
	out := os.NewFile(reports, "reports")
	if _, err := out.Stat(); err != nil {
		return errors.New("this command is run by the connector host, not by hand")
	}
	defer out.Close()
	connection, err := openLink(link)
	if err != nil {
		return fmt.Errorf("the connection to the parent: %w", err)
	}
	defer connection.Close()
	shared := os.NewFile(lasting, "term")
	term, err := openTerm(shared, syscall.PROT_READ) // and never closed: whatever still runs at the end may ask
	if err = errors.Join(err, shared.Close()); err != nil {
		return err
	}
	deadline, err := newDeadline()
	if err != nil {
		return fmt.Errorf("have the kernel see to it that this process ends with the lease: %w", err)
	}
	return serveChild(ctx, os.Stdin, out, term, func(ctx context.Context, job *Job) error {
		job.Link = connection
		return work(ctx, job)
	}, ending{die, deadline.set})
}

// ending is how a process ends: now, and by a time, of bootClock, at the latest.
type ending struct {
	now func()
	by  func(at int64) error
}

// die ends this process and its group, if it leads one, without letting anything finish.
func die() {
	if syscall.Getpgrp() == os.Getpid() {
		_ = syscall.Kill(0, syscall.SIGKILL)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func serveChild(ctx context.Context, in io.Reader, out io.Writer, term *term, work Work, end ending) error {
	job := &Job{going: make(chan struct{}), draining: make(chan struct{}), term: term, out: out}
	begun, broken := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the input, which ends with this process
		broken <- job.obey(in, begun)
		select {
		case <-begun:
			end.now() // the parent is gone, or speaks another language
		default:
		}
	}()
	if _, err := io.WriteString(out, "\n"); err != nil {
		return fmt.Errorf("tell the parent that this process waits for an order: %w", err)
	}
	select {
	case <-begun:
	case err := <-broken:
		return fmt.Errorf("no definition from the parent: %w", errors.Join(err, io.ErrUnexpectedEOF))
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, finished := context.WithCancel(ctx)
	defer finished()
	go job.fence(ctx, end, job.last(end))
	err := work(ctx, job)
	if err == nil {
		return job.finish(ctx)
	}
	report := Report{State: Connecting, Why: err.Error()}
	if _, lasts := errors.AsType[permanent](err); lasts {
		report.State = Failed
	}
	if _, fenced := errors.AsType[byFence](err); fenced {
		report.State = Fenced
		return job.Report(report) // no failure of this process: the parent says it
	}
	return errors.Join(err, job.Report(report))
}

// linger is how long a process that has finished waits with its end, which takes the kernel a while: just then somebody
// else begins to do what it did, and is in need of the processors.
const linger = 300 * time.Millisecond

// finish tells the parent, if it has told the work to drain, that nothing is left of it.
func (j *Job) finish(ctx context.Context) error {
	select {
	case <-j.draining:
	default:
		return nil
	}
	err := j.Report(Report{State: Finished})
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return err
}

// obey reads orders until the input ends. begun is closed when the first one has been read.
func (j *Job) obey(in io.Reader, begun chan struct{}) error {
	first := true
	return readLines(in, maxOrder, func(o Order) error {
		if err := o.Validate(first); err != nil {
			return err
		}
		if first {
			j.Definition, j.Shared, j.Epoch = *o.Definition, o.Shared, o.Epoch
			first = false
			close(begun)
		}
		switch o.Command {
		case Go:
			closeOnce(j.going)
		case Drain:
			closeOnce(j.draining)
		}
		return nil
	})
}

// closeOnce closes a channel that only this goroutine closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// fence ends the process when the parent has not said in time that the lease goes on. It looks again and again, until ctx
// ends, first after a while.
func (j *Job) fence(ctx context.Context, end ending, next time.Duration) {
	timer := time.NewTimer(next)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(j.last(end))
	}
}

// last lets the process last as long as the lease does, by what the parent has said up to now, and returns when to look
// whether it has said more: so early that nobody is killed who has to wait for a processor, as where many start at once.
func (j *Job) last(end ending) (next time.Duration) {
	until := j.term.until(j.Epoch)
	rest := time.Duration(until - bootClock())
	if rest <= 0 || end.by(until) != nil {
		end.now()
	}
	if early := rest / 4; early > 10*time.Millisecond {
		return early
	}
	return rest
}
