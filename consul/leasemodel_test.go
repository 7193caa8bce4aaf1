package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// model is a Consul with one lease, as its competitors see it: an agent on each host, which keeps TTL checks by itself
// and tells the servers of them a little later, and servers that end sessions. Calls are delayed and lost on both ways,
// and one that its caller has given up may be done all the same.
type model struct {
	mu         sync.Mutex
	random     *rand.Rand
	index      uint64
	lock       lock
	delayed    time.Time // until when the key has its lock-delay
	serial     int
	session    map[string]*modelCheck
	agents     map[string]*modelAgent
	changed    chan struct{}
	traces     uint64 // index of the newest
	traced     chan struct{}
	slow       time.Duration // no delay is longer
	loss       float64       // share of requests, and of answers, that are lost
	leaderless time.Time     // until when the servers have no leader
	ended      bool
}

type modelAgent struct {
	down   bool
	cut    time.Time // since when it is cut off from the servers; zero if it is not
	deaf   time.Time // until when nothing from its host's process reaches it
	checks map[string]*modelCheck
}

type modelCheck struct {
	id, host string
	timer    *time.Timer // of the TTL, in the agent

	critical bool // in the agent
	gone     bool

	knownCritical bool // in the catalog
	known         bool
}

const (
	modelTTL  = time.Second
	modelSerf = 3 * time.Second // for so long the servers believe in a node that is cut off
)

func newModel(seed uint64, hosts []string) *model {
	m := &model{
		random: rand.New(rand.NewPCG(seed, 1)), index: 10, changed: make(chan struct{}), traced: make(chan struct{}), slow: 3 * time.Millisecond,
		session: map[string]*modelCheck{}, agents: map[string]*modelAgent{},
	}
	for _, host := range hosts {
		m.agents[host] = &modelAgent{checks: map[string]*modelCheck{}}
	}
	return m
}

// do changes the model at one stroke.
func (m *model) do(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// bump notes a change of the key.
func (m *model) bump() {
	m.index++
	m.lock.index = m.index
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *model) invalidate(session string) {
	if m.session[session] == nil {
		return
	}
	delete(m.session, session)
	if m.lock.session == session {
		m.lock.session = ""
		m.delayed = time.Now().Add(time.Millisecond)
		m.bump()
	}
}

// learn makes the catalog know what the agent knows of a check.
func (m *model) learn(c *modelCheck) {
	c.known, c.knownCritical = !c.gone, c.critical
	if !c.gone && !c.critical {
		return
	}
	for session, check := range m.session {
		if check == c {
			m.invalidate(session)
		}
	}
}

// sync brings a check to the catalog soon, or when the agent is up and not cut off any more.
func (m *model) sync(c *modelCheck) {
	agent := m.agents[c.host]
	var try func()
	try = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.ended || !agent.down && agent.cut.IsZero() && m.led() {
			m.learn(c)
			return
		}
		time.AfterFunc(50*time.Millisecond, try)
	}
	time.AfterFunc(time.Duration(m.random.IntN(20))*time.Millisecond, try)
}

// register makes a check the only one of its host. It is critical until it is passed.
func (m *model) register(host, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	agent := m.agents[host]
	if agent.checks[id] != nil || agent.down {
		return
	}
	for other, check := range agent.checks {
		delete(agent.checks, other)
		check.gone = true
		check.timer.Stop()
		m.sync(check)
	}
	check := &modelCheck{id: id, host: host, critical: true}
	check.timer = time.AfterFunc(modelTTL, func() { m.do(func() { m.expire(check) }) })
	agent.checks[id] = check
	m.sync(check)
}

func (m *model) expire(c *modelCheck) {
	c.critical = true
	m.sync(c)
}

// restart loses, or keeps, the agent's checks; their state is lost in any case.
func (m *model) restart(host string, keep bool) {
	agent := m.agents[host]
	agent.down = true
	for id, check := range agent.checks {
		check.timer.Stop()
		check.critical = true
		if !keep {
			delete(agent.checks, id)
			check.gone = true
		}
		m.sync(check)
	}
	time.AfterFunc(time.Duration(m.random.IntN(1500))*time.Millisecond, func() {
		m.do(func() {
			agent.down = false
			for _, check := range agent.checks {
				check.timer.Reset(modelTTL)
			}
		})
	})
}

// led says whether the servers have a leader.
func (m *model) led() bool { return !time.Now().Before(m.leaderless) }

// modelEstablish is how long a new leader cannot answer.
const modelEstablish = 60 * time.Millisecond

// ready says whether the servers have a leader that answers.
func (m *model) ready() bool { return time.Since(m.leaderless) >= modelEstablish }

// cut parts an agent from the servers, for a time, after which they believe its node to be dead if it was long.
func (m *model) cut(host string, d time.Duration) {
	agent := m.agents[host]
	if !agent.cut.IsZero() {
		return
	}
	agent.cut = time.Now()
	time.AfterFunc(d, func() { m.do(func() { agent.cut = time.Time{} }) })
	if d < modelSerf {
		return
	}
	time.AfterFunc(modelSerf, func() {
		m.do(func() {
			for session, check := range m.session {
				if check.host == host {
					m.invalidate(session)
				}
			}
		})
	})
}

// link is how one process reaches Consul, through the agent of its host.
type link struct {
	*model
	host string
	dead chan struct{} // closed when the process is killed
}

var errModelAway = errors.New("away")

// travel is the delay of a message, and whether it arrives. Most are quick, some are slow.
func (m *model) travel() (delay time.Duration, lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := m.slow
	if m.random.IntN(4) > 0 {
		limit = min(limit, 3*time.Millisecond)
	}
	return time.Duration(m.random.Int64N(int64(limit) + 1)), m.random.Float64() < m.loss
}

// ask does something at the agent, or with far at the servers. It may be done after ask has given up.
func ask[T any](ctx context.Context, l link, far bool, do func() (T, error)) (T, error) {
	type answered struct {
		value T
		err   error
	}
	answer := make(chan answered, 1)
	delay, lost := l.travel()
	back, lostBack := l.travel()
	select {
	case <-l.dead:
		lost = true // a process that was killed asks for nothing
	default:
	}
	patience := 437 * time.Millisecond // of a real agent or server until it looks again; without a leader it doubles
	var arrive func()
	arrive = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		agent := l.agents[l.host]
		if far && !agent.cut.IsZero() || time.Now().Before(agent.deaf) {
			return // nobody answers
		}
		if far && !l.ready() {
			time.AfterFunc(patience, arrive)
			if !l.led() {
				patience *= 2
			}
			return
		}
		a := answered{err: errModelAway}
		if !agent.down {
			a.value, a.err = do()
		}
		if !lostBack {
			time.AfterFunc(back, func() { answer <- a })
		}
	}
	if !lost {
		time.AfterFunc(delay, arrive)
	}
	select {
	case a := <-answer:
		return a.value, a.err
	case <-ctx.Done():
	case <-l.dead:
		<-ctx.Done()
	}
	var none T
	return none, ctx.Err()
}

// done is the value of what is only done.
type done struct{}

func (l link) pass(ctx context.Context, check string) error {
	_, err := ask(ctx, l, false, func() (done, error) {
		c := l.agents[l.host].checks[check]
		if c == nil {
			return done{}, errNoCheck
		}
		c.timer.Reset(modelTTL)
		if c.critical {
			c.critical = false
			l.sync(c)
		}
		return done{}, nil
	})
	return err
}

func (l link) open(ctx context.Context, _, check string) (session string, err error) {
	return ask(ctx, l, true, func() (string, error) {
		c := l.agents[l.host].checks[check]
		if c == nil || !c.known || c.knownCritical {
			return "", errors.New("the check is critical")
		}
		l.serial++
		session := fmt.Sprintf("session-%d", l.serial)
		l.session[session] = c
		return session, nil
	})
}

func (l link) destroy(ctx context.Context, session string) error {
	_, err := ask(ctx, l, true, func() (done, error) {
		l.invalidate(session)
		return done{}, nil
	})
	return err
}

// modelRead is an answer to a read.
type modelRead struct {
	lock    lock
	index   uint64
	changed chan struct{}
}

// block asks until the state has passed the index, or the wait is over.
func (l link) block(ctx context.Context, index uint64, look func() modelRead) (modelRead, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	waited := time.NewTimer(4 * time.Second)
	defer waited.Stop()
	for {
		read, err := ask(ctx, l, true, func() (modelRead, error) { return look(), nil })
		if err != nil || index == 0 || read.index > index {
			return read, err
		}
		select {
		case <-read.changed:
		case <-waited.C:
			return read, nil
		case <-ctx.Done():
		}
	}
}

func (l link) read(ctx context.Context, _ string, index uint64) (lock, uint64, error) {
	read, err := l.block(ctx, index, func() modelRead { return modelRead{l.lock, max(l.lock.index, 1), l.changed} })
	return read.lock, read.index, err
}

// set writes the key at the servers if that is allowed.
func (l link) set(ctx context.Context, session string, value []byte, allowed func() error) error {
	_, err := ask(ctx, l, true, func() (done, error) {
		if err := allowed(); err != nil {
			return done{}, err
		}
		var holder Holder
		if err := json.Unmarshal(value, &holder); err != nil {
			return done{}, err
		}
		l.lock.found, l.lock.session, l.lock.holder = true, session, holder
		l.bump()
		return done{}, nil
	})
	return err
}

func (l link) acquire(ctx context.Context, _, session string, value, text []byte, read lock, seen *trace) error {
	return l.set(ctx, session, value, func() error {
		switch {
		case seen != nil && l.traces != seen.index:
			return errTraced
		case l.lock.found != read.found || l.lock.found && l.lock.index != read.index || !l.lock.free():
			return errOvertaken
		case l.session[session] == nil:
			return errNoSession
		case time.Now().Before(l.delayed):
			return errLockDelay
		}
		if text != nil {
			l.leaveTrace()
		}
		return nil
	})
}

func (l link) held(session string) func() error {
	return func() error {
		if l.lock.session != session {
			return errNoSession
		}
		return nil
	}
}

func (l link) rewrite(ctx context.Context, _, session string, value []byte) error {
	return l.set(ctx, session, value, l.held(session))
}

func (l link) release(ctx context.Context, _, session string, value []byte) error {
	return l.set(ctx, "", value, l.held(session))
}

func (l link) beat(ctx context.Context, _, session string, _ []byte) error {
	_, err := ask(ctx, l, true, func() (done, error) {
		if l.lock.session != session {
			return done{}, errOvertaken
		}
		l.leaveTrace()
		return done{}, nil
	})
	return err
}

func (l link) leader(ctx context.Context) (string, error) {
	return ask(ctx, l, false, func() (string, error) {
		switch {
		case !l.agents[l.host].cut.IsZero():
			return "", errModelAway
		case !l.led():
			return "", nil
		}
		return "the same again", nil
	})
}

func (l link) leaveTrace() {
	l.index++
	l.traces = l.index
	close(l.traced)
	l.traced = make(chan struct{})
}

func (l link) trace(ctx context.Context, _ string, index uint64) (newest, newIndex uint64, err error) {
	read, err := l.block(ctx, index, func() modelRead { return modelRead{index: l.traces, changed: l.traced} })
	return read.index, max(read.index, 1), err
}
