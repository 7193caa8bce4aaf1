package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options are what a supervisor needs.
type Options struct {
	Command []string        // that runs a child: a program that calls [ServeChild]
	Env     []string        // of a child, as os.Environ returns it; nil is this process's own
	Shared  json.RawMessage // what every child needs to know besides its definition; may hold secrets
	Policy  Policy
	// Linked, if not nil, is given the connection to each child that is started; see [Job.Link]. Unlinked is told when the
	// child has ended, and the connection is closed.
	Linked   func(pid int, link net.Conn)
	Unlinked func(pid int)
	Observe  func([]Status) // is given the whole state after each change while Run runs, one call at a time
	Log      zerolog.Logger
}

// Tenure is the lease under which children run; see consul.Tenure.
type Tenure interface {
	Context() context.Context
	Leaving() <-chan struct{}
	Until() time.Time
	Renewals() <-chan time.Time
}

// Supervisor runs connectors. It may be used for one tenure after the other.
type Supervisor struct {
	options Options
	term    *term
	reserve *reserve
	lives   sync.WaitGroup // of each child, until its process has ended
}

// New makes a supervisor that runs nothing yet. It is to be closed. An error says that there is no memory to share with
// children.
func New(options Options) (*Supervisor, error) {
	term, err := newTerm()
	if err != nil {
		return nil, err
	}
	return &Supervisor{options: options, term: term, reserve: newReserve(options.Command, options.Env, term, options.Log)}, nil
}

// Reserve says how many processes are to be kept ready, for connectors that are still to be started: started, and waiting
// to be told which connector they are. At first it is none. If they are about to be needed, processors are not spared to
// have them. It may be called at any time, from any goroutine.
func (s *Supervisor) Reserve(n int, soon bool) { s.reserve.resize(n, soon) }

// Ready is how many processes wait for a connector.
func (s *Supervisor) Ready() int { return s.reserve.count() }

// Close ends the processes that wait for a connector, and waits for those of connectors that have finished. Nothing may
// run.
func (s *Supervisor) Close() {
	s.lives.Wait()
	s.reserve.close()
	s.term.close()
}

// run is one tenure of a supervisor. Only its loop uses the desk.
type run struct {
	Options
	tenure  Tenure
	epoch   uint64
	term    *term
	desk    *Desk
	reserve *reserve
	events  chan func() []Action
	done    chan struct{} // closed when nobody takes events any more
	lives   *sync.WaitGroup

	mu       sync.Mutex
	children map[int]*process
	over     bool // nothing may be started any more
}

// Run runs the connectors of each set of definitions that comes, until the tenure is over or is to be left. When it
// returns, no child acts any more. In the first case they were killed, and their processes are gone. In the second they
// have drained, closed what they had open and said so: their processes may take a while yet to end.
func (s *Supervisor) Run(tenure Tenure, epoch uint64, definitions <-chan []Definition) {
	r := &run{
		Options: s.options, tenure: tenure, epoch: epoch, term: s.term, desk: NewDesk(s.options.Policy, rand.Float64), reserve: s.reserve, lives: &s.lives,
		events: make(chan func() []Action), done: make(chan struct{}), children: map[int]*process{},
	}
	r.extend()
	// These are not done by the loop, which may be busy.
	stop := context.AfterFunc(tenure.Context(), r.killAll)
	defer stop()
	var renewing sync.WaitGroup
	renewing.Go(r.renew)
	r.loop(definitions)
	close(r.done)
	renewing.Wait()
	if tenure.Context().Err() != nil { // else all have finished
		r.killAll()
		r.lives.Wait()
	}
}

func (r *run) loop(definitions <-chan []Definition) {
	leaving := r.tenure.Leaving()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for stopping := false; !stopping || !r.desk.Idle(); {
		if next := r.desk.Next(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		var actions []Action
		select {
		case <-r.tenure.Context().Done():
			return
		case <-leaving:
			r.Log.Info().Msg("draining all connectors")
			leaving, stopping = nil, true
			actions = r.desk.Stop(time.Now())
		case set := <-definitions:
			actions = r.desk.Define(time.Now(), set)
		case event := <-r.events:
			actions = event()
		case <-timer.C:
			actions = r.desk.Look(time.Now())
		}
		r.do(actions)
		r.Observe(r.desk.Status(time.Now()))
	}
}

// renew passes on each extension of the lease, as long as the loop runs.
func (r *run) renew() {
	for {
		select {
		case <-r.tenure.Renewals():
			r.extend()
		case <-r.done:
			return
		}
	}
}

// extend tells the children until when the lease holds.
func (r *run) extend() {
	// In this order: should the process be stopped in between, the result is too early, not too late.
	now := bootClock()
	r.term.set(r.epoch, now+int64(time.Until(r.tenure.Until())))
}

func (r *run) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, p := range r.children {
		p.kill()
	}
}

func (r *run) do(actions []Action) {
	for _, action := range actions {
		r.Log.Info().Str("connector", action.Definition.Name).Int("child", action.Child).Str("action", string(action.Verb)).Msg("supervising")
		if action.Verb == DoStart {
			r.start(action)
			continue
		}
		r.mu.Lock()
		p := r.children[action.Child]
		r.mu.Unlock()
		switch {
		case p == nil: // it has ended, which the desk will be told, or is being started, which it is asked about once more
		case action.Verb == DoGo:
			p.order(Order{Command: Go})
		case action.Verb == DoDrain:
			p.order(Order{Command: Drain})
		case action.Verb == DoKill:
			p.kill()
		}
	}
}

// start gives a child a process: one that waits, or else a new one, which takes a while. If that fails, the desk is told
// that the child has ended.
func (r *run) start(action Action) {
	if p := r.reserve.pick(); p != nil {
		r.adopt(p, action)
		return
	}
	r.lives.Go(func() {
		p, err := r.reserve.start(r.tenure.Context())
		if err != nil {
			how := fmt.Sprintf("start %s: %v", r.Command[0], err)
			r.tell(func() []Action { return r.desk.Ended(time.Now(), action.Child, how) })
			return
		}
		if !r.tell(func() []Action { r.adopt(p, action); return nil }) {
			p.discard()
		}
	})
}

// adopt makes a process that waits for its first order a child, unless that is of no use any more.
func (r *run) adopt(p *process, action Action) {
	r.mu.Lock()
	r.children[action.Child] = p
	over := r.over
	r.mu.Unlock()
	wanted := r.desk.Started(time.Now(), action.Child, p.pid())
	log := r.Log.With().Str("connector", action.Definition.Name).Int("child", action.Child).Int("pid", p.pid()).Logger()
	log.Info().Uint64("epoch", r.epoch).Msg("a child has started")
	r.lives.Go(func() { r.attend(p, action.Child, log) })
	if over || !wanted {
		p.kill()
		return
	}
	if r.Linked != nil {
		r.Linked(p.pid(), p.link)
	}
	first := Order{Definition: &action.Definition, Shared: r.Shared, Epoch: r.epoch}
	r.lives.Go(func() { p.write(first) })
}

// attend passes on what a child says, until it has ended.
func (r *run) attend(p *process, child int, log zerolog.Logger) {
	how := p.live(func(said Report) {
		if said.State == Finished {
			log.Info().Msg("a child has finished")
		}
		r.tell(func() []Action { return r.desk.Said(time.Now(), child, said) })
	})
	r.mu.Lock()
	delete(r.children, child)
	r.mu.Unlock()
	if r.Unlinked != nil {
		r.Unlinked(p.pid())
	}
	log.Info().Str("how", how).Msg("a child has ended")
	r.tell(func() []Action { return r.desk.Ended(time.Now(), child, how) })
}

// tell has the loop take an event, and returns false if it has ended instead.
func (r *run) tell(event func() []Action) bool {
	select {
	case r.events <- event:
		return true
	case <-r.done:
		return false
	}
}
