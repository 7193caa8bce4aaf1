package supervise

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// reserve keeps processes that have been started and wait to be told which connector they are. To start one takes tens of
// milliseconds, and a connector that is to go on should not have to wait for that.
//
// Who finds none has a new one started. No more are on their way at once than there are processors: they would not be
// there sooner, and what keeps the lease would wait in line with them. The reserve is filled up one by one, when none was
// taken or started for a while, not while connectors start; all at once as soon as it is known that they will be needed.
// What is too many ends after a while.
type reserve struct {
	command, env []string
	term         *term
	log          zerolog.Logger
	spawner      *spawner
	waking       chan struct{} // has an element for each process that is on its way
	wake         chan struct{}
	ctx          context.Context // of what fills it up
	end          context.CancelFunc
	ended        chan struct{}
	watching     sync.WaitGroup // of each process that was started, until it is awake, and that was added, until it ends

	mu      sync.Mutex
	size    int
	soon    bool       // they are about to be needed
	waiting []*process // one may just have ended
	quiet   time.Time  // from when it is filled up
	vain    int        // processes in a row that could not be started, or ended while they waited
}

const (
	// calm is how long none is taken before the reserve is filled up, and the pause after a process that was started in
	// vain. It doubles with each of those in a row, up to calmest: there is something wrong with the machine, or the
	// program.
	calm    = 300 * time.Millisecond
	calmest = 30 * time.Second
	// surplus is how long none is taken before one that is too many ends: who takes them may be about to do so.
	surplus = 3 * time.Second
)

// newReserve makes an empty reserve of processes that the command starts. It is to be closed.
func newReserve(command, env []string, term *term, log zerolog.Logger) *reserve {
	r := &reserve{
		command: command, env: env, term: term, log: log, spawner: newSpawner(),
		waking: make(chan struct{}, runtime.GOMAXPROCS(0)), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	r.ctx, r.end = context.WithCancel(context.Background())
	go r.keep()
	return r
}

// resize says how many are to wait from now on, and whether they are about to be needed. What is too many ends later.
func (r *reserve) resize(n int, soon bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == r.size && soon == r.soon {
		return
	}
	r.size, r.soon = n, soon
	r.rest()
}

// rest puts off what fills the reserve up.
func (r *reserve) rest() {
	r.quiet = time.Now().Add(r.pause())
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pause is how long to wait before the next is started.
func (r *reserve) pause() time.Duration {
	if r.soon && r.vain == 0 {
		return 0
	}
	return min(calm<<min(max(r.vain-1, 0), 10), calmest)
}

// launch starts a process, when its turn has come.
func (r *reserve) launch(ctx context.Context) (*process, error) {
	select {
	case r.waking <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p, err := launch(r.spawner, r.command, r.env, r.term)
	if err != nil {
		<-r.waking
		return nil, err
	}
	r.watching.Go(func() {
		<-p.awake
		<-r.waking
	})
	return p, nil
}

// start starts a process for who cannot have one that waits already.
func (r *reserve) start(ctx context.Context) (*process, error) {
	p, err := r.launch(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest()
	return p, err
}

// pick takes the first that waits, or returns nil.
func (r *reserve) pick() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) > 0 {
		p := r.waiting[0]
		if r.waiting = r.waiting[1:]; !p.over() {
			r.vain = 0
			r.rest()
			return p
		}
		r.lost(p)
	}
	r.rest()
	return nil
}

// lost buries a process that has ended while it waited.
func (r *reserve) lost(p *process) {
	p.close()
	r.vain++
	r.rest()
	r.log.Warn().Int("pid", p.pid()).Str("how", p.how).Stringer("next_in", r.pause()).Msg("a process that was kept ready for a connector has ended")
}

// count is how many wait.
func (r *reserve) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// keep fills the reserve up until it is closed.
func (r *reserve) keep() {
	defer close(r.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		switch pause, missing := r.due(); {
		case missing == 0:
		case pause > 0:
			timer.Reset(pause)
		case missing > 0:
			timer.Reset(r.add())
		default:
			r.drop()
			timer.Reset(0)
		}
	}
}

// due is how many processes are missing, less than none if some are too many, and in how long to see to one of them.
func (r *reserve) due() (pause time.Duration, missing int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing, pause = r.size-len(r.waiting), time.Until(r.quiet)
	if missing < 0 {
		pause += surplus
	}
	return pause, missing
}

// drop ends a process that is too many.
func (r *reserve) drop() {
	r.mu.Lock()
	last := len(r.waiting) - 1
	if last < r.size {
		r.mu.Unlock()
		return
	}
	p := r.waiting[last]
	r.waiting = r.waiting[:last]
	r.mu.Unlock()
	p.discard()
}

// add adds a process, and returns when to look whether there is to be another one: as much later as this one took until
// it waited, since nobody is in need of it, and others are of the processors; at once, if they are about to be needed.
func (r *reserve) add() time.Duration {
	begun := time.Now()
	p, err := r.launch(r.ctx)
	if err != nil {
		return r.vainly(err)
	}
	if r.keepReady(p) {
		return 0
	}
	select {
	case <-p.awake:
	case <-r.ctx.Done():
	}
	return time.Since(begun)
}

// vainly notes that a process could not be started, and returns when to try again.
func (r *reserve) vainly(err error) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.vain++
		r.log.Warn().Err(err).Stringer("next_in", r.pause()).Msg("no process can be kept ready for a connector; one will be started when it is needed")
	}
	return r.pause()
}

// keepReady adds a process that was started, and returns whether the next is about to be needed.
func (r *reserve) keepReady(p *process) (soon bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, p)
	r.watching.Go(func() {
		<-p.ended
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.Index(r.waiting, p); i >= 0 {
			r.waiting = slices.Delete(r.waiting, i, i+1)
			r.lost(p)
		}
	})
	return r.soon
}

// close ends all that wait, and the thread that started them. None that was taken may be alive.
func (r *reserve) close() {
	r.end()
	<-r.ended
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	for _, p := range waiting {
		p.discard()
	}
	r.watching.Wait()
	r.spawner.close()
}
