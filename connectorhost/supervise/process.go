package supervise

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// spawner starts processes from one thread that lives as long as it does: the kernel sends the death signal of a child
// when the thread that started it ends, not when the program does. It has the usual priority, and so have the children,
// whatever the program's own is: the beats that keep the lease are to go before the work that is done under it. Nor are
// their timers as exact; see stepBack.
type spawner struct {
	requests chan func()
	done     chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, after all children
		stepBack()
		for request := range s.requests {
			request()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	s.requests <- func() { started <- cmd.Start() }
	return <-started
}

// close ends the thread. No child may be alive.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// process is one child, from its start to its end. It does nothing before its first order.
type process struct {
	cmd     *exec.Cmd
	input   *os.File
	reports *os.File
	link    net.Conn
	orders  chan Order    // commands, in order
	awake   chan struct{} // closed when it waits for its first order, or will not say so any more
	killed  atomic.Bool   // by this program
	how     string        // it has ended, when it has
	ended   chan struct{} // closed when it has ended
}

// launch starts a child, which reads its definition from its input.
func launch(s *spawner, command, env []string, term *term) (*process, error) {
	childIn, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer childIn.Close()
	output, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, input.Close())
	}
	defer childOut.Close()
	link, childLink, err := newLink()
	if err != nil {
		return nil, errors.Join(err, input.Close(), output.Close())
	}
	defer childLink.Close()
	p := &process{
		cmd: exec.Command(command[0], command[1:]...), input: input, reports: output, link: link,
		orders: make(chan Order, 4), awake: make(chan struct{}), ended: make(chan struct{}),
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = childIn, os.Stderr, os.Stderr
	p.cmd.Env = env
	p.cmd.ExtraFiles = []*os.File{childOut, childLink, term.file} // descriptors 3, 4 and 5
	p.cmd.SysProcAttr = attributes()
	if err := s.start(p.cmd); err != nil {
		return nil, errors.Join(err, input.Close(), output.Close(), link.Close())
	}
	_ = p.reports.SetReadDeadline(time.Now().Add(wakingTime))
	go p.reap()
	go p.awaken()
	return p, nil
}

// wakingTime is how long a child is believed to be on its way to its first order. One that takes longer is of use still.
const wakingTime = 5 * time.Second

// awaken waits until the child waits for its first order.
func (p *process) awaken() {
	defer close(p.awake)
	_, _ = p.reports.Read(make([]byte, 1)) // an empty line: a child says nothing else before it was told what it is
	_ = p.reports.SetReadDeadline(time.Time{})
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// reap waits until the child has ended.
func (p *process) reap() {
	_ = p.cmd.Wait() // the state tells
	p.how = p.cmd.ProcessState.String()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL && !p.killed.Load() {
		p.how += outOfTime
	}
	p.kill() // what it has started goes with it
	_ = p.input.SetWriteDeadline(time.Unix(1, 0))
	_ = p.reports.SetReadDeadline(time.Now())
	<-p.awake
	_ = p.reports.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // what it said last is in the pipe
	close(p.ended)
}

// outOfTime is why a child has ended that this program did not kill; see [Job.last].
const outOfTime = ": it was stopped or had no processor until the lease had run out as far as it knew; or somebody has killed it"

// over says whether the child has ended.
func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// close frees what belonged to a child that has ended.
func (p *process) close() {
	for _, end := range []io.Closer{p.input, p.reports, p.link} {
		_ = end.Close()
	}
}

// discard ends a child that nobody has told anything.
func (p *process) discard() {
	p.kill()
	<-p.ended
	p.close()
}

// kill ends the child and what it has started.
func (p *process) kill() {
	p.killed.Store(true)
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
}

// order tells the child something. The channel has room for every command that a child ever gets.
func (p *process) order(o Order) {
	select {
	case p.orders <- o:
	default:
	}
}

// write passes on orders until the child has ended, or does not read them any more.
func (p *process) write(first Order) {
	write := func(o Order) bool {
		line, err := encodeLine(o)
		if err != nil {
			return false
		}
		_, err = p.input.Write(line)
		return err == nil
	}
	defer p.input.Close()
	for next := first; write(next); {
		select {
		case <-p.ended:
			return
		case next = <-p.orders:
		}
	}
}

// expire sees to it that a child which has finished ends.
func (p *process) expire() {
	timer := time.NewTimer(exitTime)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.kill()
	}
}

// exitTime is how long a child may take from its last word to its end.
const exitTime = 2 * time.Second

// live waits until the child has ended, and returns how. Each of its reports is passed on before.
func (p *process) live(said func(Report)) (how string) {
	var reading sync.WaitGroup
	reading.Go(func() {
		<-p.awake
		err := readLines(p.reports, maxReport, func(r Report) error {
			if err := r.Validate(); err != nil {
				return err
			}
			if r.State == Finished {
				reading.Go(p.expire)
			}
			said(r)
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			said(Report{State: Connecting, Why: fmt.Sprintf("it spoke out of turn and was killed: %v", err)})
			p.kill()
		}
		_, _ = io.Copy(io.Discard, p.reports)
	})
	<-p.ended
	reading.Wait()
	p.close()
	return p.how
}
