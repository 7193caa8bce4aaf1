package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// fault is something that happens to the cluster at a time.
type fault struct {
	at   time.Duration
	kind string
	host int
	last time.Duration
}

func (f fault) String() string {
	return fmt.Sprintf("%v %s host-%d for %v", f.at, f.kind, f.host, f.last)
}

var faultKinds = []string{
	"kill", "stop", "start", "hand over", "destroy the session", "delete the key", "overwrite the value", "restart the agent",
	"restart the agent empty", "cut off the agent", "slow", "lossy", "deregister the check", "cut off the process", "no leader",
}

// tenureRecord is what a host did under the lease.
type tenureRecord struct {
	host        string
	epoch       uint64
	start, stop time.Duration
}

// history notes who acts when, and what should never have been.
type history struct {
	mu      sync.Mutex
	began   time.Time
	acting  map[string]uint64
	records []tenureRecord
	faults  []string
}

func (h *history) start(host string, epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := time.Since(h.began)
	for other, its := range h.acting {
		h.faults = append(h.faults, fmt.Sprintf("%v: %s acts with epoch %d while %s does with epoch %d", at, host, epoch, other, its))
	}
	if n := len(h.records); n > 0 && h.records[n-1].epoch >= epoch {
		h.faults = append(h.faults, fmt.Sprintf("%v: %s acts with epoch %d after %d", at, host, epoch, h.records[n-1].epoch))
	}
	h.acting[host] = epoch
	h.records = append(h.records, tenureRecord{host: host, epoch: epoch, start: at, stop: -1})
}

func (h *history) stop(host string, epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.acting, host)
	for i := range h.records {
		if h.records[i].host == host && h.records[i].epoch == epoch {
			h.records[i].stop = time.Since(h.began)
		}
	}
}

func (h *history) holder() (host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for host := range h.acting {
		return host
	}
	return ""
}

// forget begins the history anew.
func (h *history) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began, h.records = time.Now(), nil
}

// process is one run of a competitor.
type process struct {
	check  string
	cancel context.CancelFunc
	dead   chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	tenure *Tenure
}

// town is a cluster of competitors around a model of Consul.
type town struct {
	*model
	hosts   []string
	history *history
	running map[string]*process
	all     []*process
	runs    int
	adjust  func(*competitor) // breaks a rule, to see that it is needed
}

func newTown(seed uint64, adjust func(*competitor)) *town {
	hosts := []string{"host-0", "host-1", "host-2"}
	return &town{
		model: newModel(seed, hosts), hosts: hosts, adjust: adjust, running: map[string]*process{},
		history: &history{began: time.Now(), acting: map[string]uint64{}},
	}
}

// start runs a competitor on a host, if none runs there.
func (w *town) start(host string) {
	if w.running[host] != nil {
		return
	}
	w.runs++
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{check: fmt.Sprintf("%s-run-%d", host, w.runs), cancel: cancel, dead: make(chan struct{}), done: make(chan struct{})}
	w.running[host] = p
	w.all = append(w.all, p)
	var drain, kill time.Duration
	w.do(func() {
		drain, kill = time.Duration(w.random.IntN(1500))*time.Millisecond, time.Duration(w.random.IntN(190))*time.Millisecond
	})
	c := newCompetitor(Lease{
		Key: "key", Host: host, Address: host, Check: p.check,
		TTL: modelTTL, Beat: modelTTL / 4, Observe: func(LeaseState) {},
		Hold: func(t *Tenure) { p.hold(t, w.history, host, drain, kill) },
	}, link{w.model, host, p.dead})
	if w.adjust != nil {
		w.adjust(c)
	}
	go p.keepRegistered(ctx, w.model, host)
	go func() {
		defer close(p.done)
		c.run(ctx)
	}()
}

func (p *process) keepRegistered(ctx context.Context, m *model, host string) {
	for {
		select {
		case <-p.dead:
			return
		default:
		}
		m.register(host, p.check)
		if !sleep(ctx, 300*time.Millisecond) {
			return
		}
	}
}

// hold acts until it may not, or until it has finished after it was told to leave.
func (p *process) hold(t *Tenure, h *history, host string, drain, kill time.Duration) {
	p.mu.Lock()
	p.tenure = t
	p.mu.Unlock()
	select {
	case <-p.dead: // it takes the lease no more
		return
	default:
	}
	h.start(host, t.Epoch)
	defer h.stop(host, t.Epoch)
	select {
	case <-p.dead:
		return
	case <-t.Context().Done():
		// A process that is killed meanwhile stops earlier, which is no danger.
		time.Sleep(kill)
		return
	case <-t.Leaving():
	}
	finished := time.NewTimer(drain)
	defer finished.Stop()
	select {
	case <-p.dead:
	case <-t.Context().Done():
		time.Sleep(kill)
	case <-finished.C:
	}
}

func (p *process) held() *Tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tenure
}

func (w *town) suffer(f fault) {
	host := w.hosts[f.host]
	p := w.running[host]
	switch f.kind {
	case "kill":
		if p != nil {
			close(p.dead)
			p.cancel()
			delete(w.running, host)
		}
	case "stop":
		if p != nil {
			p.cancel()
			<-p.done
			delete(w.running, host)
		}
	case "start":
		w.start(host)
	case "hand over":
		if active := w.running[w.history.holder()]; active != nil {
			active.held().HandOver(host)
		}
	case "destroy the session":
		w.do(func() { w.invalidate(w.lock.session) })
	case "delete the key":
		w.do(func() {
			w.lock = lock{}
			w.bump()
		})
	case "overwrite the value":
		w.do(func() {
			w.lock.holder = Holder{}
			w.bump()
		})
	case "restart the agent", "restart the agent empty":
		w.do(func() { w.restart(host, f.kind == "restart the agent") })
	case "cut off the agent":
		w.do(func() { w.cut(host, f.last) })
	case "cut off the process":
		w.do(func() { w.agents[host].deaf = time.Now().Add(f.last) })
	case "deregister the check":
		w.do(func() {
			for id, check := range w.agents[host].checks {
				delete(w.agents[host].checks, id)
				check.gone = true
				check.timer.Stop()
				w.sync(check)
			}
		})
	case "no leader":
		w.do(func() { w.leaderless = time.Now().Add(f.last) })
	case "slow":
		w.set(func() { w.slow = f.last }, func() { w.slow = 3 * time.Millisecond })
	case "lossy":
		w.set(func() { w.loss = 0.3 }, func() { w.loss = 0 })
	}
}

// set makes the network bad for two seconds.
func (w *town) set(bad, good func()) {
	w.do(bad)
	time.AfterFunc(2*time.Second, func() { w.do(good) })
}

// live lets the faults happen, then heals everything, and returns what went wrong.
func (w *town) live(faults []fault) []string {
	for _, host := range w.hosts {
		w.start(host)
	}
	for _, f := range faults {
		time.Sleep(f.at - time.Since(w.history.began))
		w.suffer(f)
	}
	time.Sleep(6 * time.Second) // the longest fault is over then
	for _, host := range w.hosts {
		w.start(host)
	}
	time.Sleep(12 * time.Second)
	active := w.history.holder()
	if active == "" {
		w.history.faults = append(w.history.faults, "nobody is active in the end")
	}
	for _, p := range w.all {
		p.cancel()
	}
	stopping := time.Now()
	for _, p := range w.all {
		<-p.done
	}
	if took := time.Since(stopping); took > 4*time.Second {
		w.history.faults = append(w.history.faults, fmt.Sprintf("it took %v to stop", took))
	}
	w.do(func() { w.ended = true })
	time.Sleep(time.Minute) // whatever is under way in the model ends
	return w.history.faults
}

// end stops every competitor, one after the other, and lets whatever is under way in the model end.
func (w *town) end() {
	for _, p := range w.all {
		p.cancel()
		<-p.done
	}
	time.Sleep(time.Minute)
}

// epidemic draws faults of some kinds, in the order in which they happen.
func epidemic(r *rapid.T, kinds ...string) (seed uint64, faults []fault) {
	seed = rapid.Uint64().Draw(r, "seed")
	faults = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) fault {
		return fault{
			at:   time.Duration(rapid.IntRange(0, 15_000).Draw(r, "at")) * time.Millisecond,
			kind: rapid.SampledFrom(kinds).Draw(r, "kind"),
			host: rapid.IntRange(0, 2).Draw(r, "host"),
			last: time.Duration(rapid.IntRange(1, 5_000).Draw(r, "for")) * time.Millisecond,
		}
	}), 0, 40).Draw(r, "faults")
	slices.SortStableFunc(faults, func(a, b fault) int { return int(a.at - b.at) })
	return seed, faults
}

// For every interleaving tried: whoever acts has stopped before another starts, and epochs only grow.
func TestNobodyActsBeforeTheLastHolderHasStopped(t *testing.T) {
	tenures := 0
	rapid.Check(t, func(r *rapid.T) {
		seed, faults := epidemic(r, faultKinds...)
		for variant := range uint64(5) {
			var wrong []string
			var records []tenureRecord
			synctest.Test(t, func(*testing.T) {
				w := newTown(seed+variant, nil)
				if variant == 0 {
					w.adjust = oneIsOld
				}
				wrong = w.live(faults)
				records = w.history.records
			})
			tenures += len(records)
			if len(wrong) > 0 {
				r.Fatalf("%s\nunder %v\nhistory %v", strings.Join(wrong, "\n"), faults, records)
			}
		}
	})
	t.Logf("%d tenures", tenures)
}

// oneIsOld makes one host one of before there were traces, as while the hosts are upgraded one after the other.
func oneIsOld(c *competitor) {
	if c.Host == "host-0" {
		c.api = traceless{leaseAPI: c.api}
	}
}

// The proof above is worth something only if it finds what is wrong when a rule is left out.
func TestEachRuleOfTheLeaseIsNeeded(t *testing.T) {
	for _, test := range []struct {
		name   string
		adjust func(*competitor)
		kinds  []string // of faults that show it soon
	}{
		{"the holder stops too late", func(c *competitor) { c.fence = 18 * c.TTL / 10 }, []string{"cut off the process"}},
		{"the next one does not wait for the last", func(c *competitor) { c.settle = 0 }, faultKinds},
		{"a beat asks the agent only", func(c *competitor) { c.api = gullible{c.api} }, []string{"cut off the agent"}},
		{
			"a trace counts that may not be the newest", func(c *competitor) { c.api = careless{c.api} },
			[]string{"lossy", "destroy the session"},
		},
		{"who leaves no trace counts as silent", func(c *competitor) {
			if c.Host == "host-0" {
				c.api = traceless{c.api, true}
			}
		}, faultKinds},
	} {
		t.Run(test.name, func(t *testing.T) {
			draw := rapid.Custom(func(r *rapid.T) []fault {
				_, faults := epidemic(r, test.kinds...)
				return faults
			})
			for seed := range 2000 {
				faults := draw.Example(seed)
				var wrong []string
				synctest.Test(t, func(*testing.T) { wrong = newTown(uint64(seed), test.adjust).live(faults) })
				if slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, " acts with ") }) {
					t.Logf("found at try %d", seed+1)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}

// gullible believes that the lock is held as long as the agent answers.
type gullible struct{ leaseAPI }

func (g gullible) beat(ctx context.Context, key, session string, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := g.leaseAPI.beat(ctx, key, session, text); errors.Is(err, errOvertaken) {
		return err
	}
	return nil
}

// careless does not ask whether there was another beat.
type careless struct{ leaseAPI }

func (c careless) acquire(ctx context.Context, key, session string, value, text []byte, read lock, _ *trace) error {
	return c.leaseAPI.acquire(ctx, key, session, value, text, read, nil)
}

// traceless is a host of before there were traces, or one that lies about it.
type traceless struct {
	leaseAPI
	lies bool
}

func (l traceless) acquire(ctx context.Context, key, session string, value, _ []byte, read lock, seen *trace) error {
	var holder Holder
	if err := json.Unmarshal(value, &holder); err != nil {
		return err
	}
	holder.Traces = l.lies
	return l.leaseAPI.acquire(ctx, key, session, encode(holder), nil, read, seen)
}

func (l traceless) rewrite(ctx context.Context, key, session string, value []byte) error {
	var holder Holder
	if err := json.Unmarshal(value, &holder); err != nil {
		return err
	}
	holder.Traces = l.lies
	return l.leaseAPI.rewrite(ctx, key, session, encode(holder))
}

func (l traceless) beat(ctx context.Context, key, session string, _ []byte) error {
	state, _, err := l.read(ctx, key, 0)
	if err == nil && state.session != session {
		err = errOvertaken
	}
	return err
}
