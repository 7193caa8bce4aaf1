package front

import (
	"errors"
	"sync"
	"time"

	"zatoha/server/service"
)

// workers are the goroutines that run the services which somebody waits for only so long. They are used again: a
// service needs more stack than a goroutine begins with, and growing one costs more than most services do.
type workers struct {
	jobs chan *job     // without a buffer: who can send has found an idle worker
	idle chan struct{} // has a place for each worker that may wait for work
	stop chan struct{} // closed when no more work comes
	live sync.WaitGroup

	stopping sync.Once
}

const mostIdle = 512

func newWorkers() *workers {
	return &workers{jobs: make(chan *job), idle: make(chan struct{}, mostIdle), stop: make(chan struct{})}
}

// job is one call of a service, and its outcome.
type job struct {
	front   *Front
	route   *Route
	call    service.Call
	request service.Request
	start   time.Time
	after   func(outcome)

	done  chan outcome // has room for an outcome and for errLate
	timer *time.Timer  // puts errLate there
}

var errLate = errors.New("the time is over")

// One channel for both costs less to wait for than two.
var jobs = sync.Pool{New: func() any {
	j := &job{done: make(chan outcome, 2)}
	j.timer = time.AfterFunc(time.Hour, func() { j.done <- outcome{err: errLate} })
	j.timer.Stop()
	return j
}}

// close lets the workers end when they have done what they do.
func (w *workers) close() { w.stopping.Do(func() { close(w.stop) }) }

// do gives the job to an idle worker, or to a new one.
func (w *workers) do(j *job) {
	select {
	case w.jobs <- j:
	default:
		w.live.Add(1)
		go w.work(j)
	}
}

// work runs the job and then others, until there are idle workers enough or no more work comes.
func (w *workers) work(j *job) {
	defer w.live.Done()
	for {
		j.run()
		select {
		case w.idle <- struct{}{}:
		default:
			return
		}
		select {
		case j = <-w.jobs:
			<-w.idle
		case <-w.stop:
			return
		}
	}
}

// run runs the service to its end. Whoever waits for the job may have given up; then nobody uses it again.
func (j *job) run() {
	o := outcome{err: errPanic} // if the service ends the goroutine
	defer func() { j.done <- o }()
	o = j.front.run(j.route, j.call, j.request, j.start, j.after)
}

// timed runs the service in a goroutine of its own and waits no longer than the route's timeout for it.
func (f *Front) timed(route *Route, call service.Call, request service.Request, start time.Time, after func(outcome)) outcome {
	j := jobs.Get().(*job)
	j.front, j.route, j.call, j.request, j.start, j.after = f, route, call, request, start, after
	f.workers.do(j)
	j.timer.Reset(route.Timeout)
	o := <-j.done
	if !errors.Is(o.err, errLate) {
		if j.timer.Stop() { // else errLate is on its way, to somebody else if the job were used again
			*j = job{done: j.done, timer: j.timer}
			jobs.Put(j)
		}
		return o
	}
	select { // what a service makes of its deadline is the better answer, if it is quick
	case o := <-j.done:
		return o
	case <-time.After(answerGrace):
		f.metrics.overdue.Inc()
		return outcome{err: service.NewError(service.Timeout, "the service took too long", nil)}
	}
}
