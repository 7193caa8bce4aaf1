package consul

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// after lets a town come to rest, does something to it, and returns the active host before, and the tenures since, whose
// times count from then.
func after(t *testing.T, f fault, host func(active string) string) (before string, since []tenureRecord) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(1, nil)
		for _, host := range w.hosts {
			w.start(host)
		}
		time.Sleep(5*time.Second + 130*time.Millisecond)
		before = w.history.holder()
		w.history.forget()
		for i, name := range w.hosts {
			if name == host(before) {
				f.host = i
				w.suffer(f)
			}
		}
		time.Sleep(10 * time.Second)
		w.history.mu.Lock()
		since = w.history.records
		w.history.mu.Unlock()
		for _, p := range w.all {
			p.cancel()
		}
		for _, p := range w.all {
			<-p.done
		}
		w.do(func() { w.ended = true })
		time.Sleep(time.Minute)
		for _, wrong := range w.history.faults {
			t.Error(wrong)
		}
	})
	return before, since
}

func same(active string) string { return active }

func other(active string) string {
	if active == "host-2" {
		return "host-0"
	}
	return "host-2"
}

func TestHowLongATakeoverTakes(t *testing.T) {
	for _, test := range []struct {
		name, kind string
		host       func(string) string
		least      time.Duration // until somebody acts
		most       time.Duration
	}{
		{"of a holder that was killed", "kill", same, 700 * time.Millisecond, 1100 * time.Millisecond},
		// The holder, told by its next beat, may take 190 ms to stop; nobody knows, so a whole TTL is waited since its last
		// one.
		{"when an operator destroyed the session", "destroy the session", same, modelTTL * 3 / 4, modelTTL + 100*time.Millisecond},
		{"when an operator deleted the key", "delete the key", same, modelTTL, modelTTL + 100*time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, since := after(t, fault{kind: test.kind}, test.host)
			if before == "" || len(since) != 1 {
				t.Fatalf("before %q, since %v", before, since)
			}
			if took := since[0].start; took < test.least || took > test.most {
				t.Errorf("it took %v, want %v to %v", took, test.least, test.most)
			}
		})
	}
}

// Its traces have ended long before, so that nobody has to wait when Consul ends its session.
func TestAHolderCutOffHasStoppedBeforeItsNodeIsTakenForDead(t *testing.T) {
	before, since := after(t, fault{kind: "cut off the agent", last: 10 * time.Second}, same)
	if before == "" || len(since) != 1 || since[0].start < modelSerf || since[0].start > modelSerf+100*time.Millisecond {
		t.Errorf("before %q, since %v", before, since)
	}
}

// The holder is fenced, and says so as soon as it can: nobody waits to be sure of it.
func TestWhenConsulHasALeaderAgainTheLeaseIsTakenAtOnce(t *testing.T) {
	for leaderless := time.Second; leaderless < 6*time.Second; leaderless += 50 * time.Millisecond {
		before, since := after(t, fault{kind: "no leader", last: leaderless}, same)
		if before == "" || len(since) != 1 || since[0].start < leaderless || since[0].start > leaderless+200*time.Millisecond {
			t.Errorf("a leader after %v: before %q, since %v", leaderless, before, since)
		}
	}
}

// impatient gives reads up as soon as those of a real Consul are, see newLeaseCalls.
type impatient struct{ leaseAPI }

func (i impatient) read(ctx context.Context, key string, index uint64) (lock, uint64, error) {
	const wait, timeout = time.Second, 500 * time.Millisecond
	limit := timeout
	if index != 0 {
		limit += wait
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return i.leaseAPI.read(ctx, key, index)
}

// The holder is cut off with the servers' leader, and what the others ask fails until there is another one.
func TestAHostIsAwakeWhenConsulHasElectedALeader(t *testing.T) {
	const most = 200 * time.Millisecond
	for leaderless := modelSerf; leaderless < modelSerf+2*time.Second; leaderless += 20 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(1, func(c *competitor) { c.api = impatient{c.api} })
			for _, host := range w.hosts {
				w.start(host)
			}
			time.Sleep(5*time.Second + 130*time.Millisecond)
			holder := w.history.holder()
			w.history.forget()
			w.suffer(fault{kind: "cut off the agent", host: slices.Index(w.hosts, holder), last: 8 * time.Second})
			w.suffer(fault{kind: "no leader", last: leaderless})
			time.Sleep(7 * time.Second)
			w.history.mu.Lock()
			since := w.history.records
			w.history.mu.Unlock()
			if len(since) != 1 || since[0].host == holder || since[0].start > leaderless+most {
				t.Errorf("a leader after %v, then %v", leaderless, since)
			}
			w.end()
			for _, wrong := range w.history.faults {
				t.Error(wrong)
			}
		})
	}
}

func TestTheLeaseIsHandedToTheHostThatWasNamed(t *testing.T) {
	before, since := after(t, fault{kind: "hand over"}, other)
	if len(since) != 1 || since[0].host != other(before) || since[0].start > 1600*time.Millisecond {
		t.Errorf("from %s: %v", before, since)
	}
}

func TestALeaseHandedToNobodyIsTakenByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(1, nil)
		w.start("host-0")
		time.Sleep(3 * time.Second)
		w.start("host-1")
		time.Sleep(time.Second)
		w.suffer(fault{kind: "hand over", host: 2}) // which does not run
		time.Sleep(1500*time.Millisecond + 2*modelTTL + 100*time.Millisecond)
		if got := w.history.holder(); got == "" {
			t.Error("nobody took it")
		}
		w.end()
	})
}

// Taking the lock counts as a beat, because it leaves a trace as a beat does. The case is too rare to be drawn: a holder
// dies, the next one is cut off in the very moment in which it begins to act, and its session is destroyed. Not every
// town comes to it, for whoever takes the lock too soon to act at once has left the traces of some beats until it does.
func TestWhoIsCutOffAsItTakesTheLeaseHasStoppedBeforeTheNext(t *testing.T) {
	const towns = 30
	overlaps := 0
	for seed := range uint64(towns) {
		if faults := cutOffAsItTakesTheLease(t, seed, false); len(faults) > 0 {
			t.Errorf("seed %d: %q", seed, faults)
		}
		if len(cutOffAsItTakesTheLease(t, seed, true)) > 0 {
			overlaps++
		}
	}
	if overlaps == 0 {
		t.Errorf("without a trace, nobody acts beside the next in any of %d towns: this test shows nothing", towns)
	}
	t.Logf("without a trace, two act at once in %d of %d towns", overlaps, towns)
}

func cutOffAsItTakesTheLease(t *testing.T, seed uint64, mute bool) (faults []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(seed, func(c *competitor) {
			if mute {
				c.api = quiet{c.api}
			}
		})
		for _, host := range w.hosts {
			w.start(host)
		}
		time.Sleep(5*time.Second + 130*time.Millisecond)
		w.suffer(fault{kind: "kill", host: slices.Index(w.hosts, w.history.holder())})
		for synctest.Wait(); w.history.holder() == ""; synctest.Wait() {
			time.Sleep(time.Millisecond / 10)
		}
		w.suffer(fault{kind: "cut off the process", host: slices.Index(w.hosts, w.history.holder()), last: 5 * time.Second})
		w.suffer(fault{kind: "destroy the session"})
		time.Sleep(10 * time.Second)
		w.end()
		faults = w.history.faults
	})
	return faults
}

// quiet leaves no trace when it takes the lock.
type quiet struct{ leaseAPI }

func (q quiet) acquire(ctx context.Context, key, session string, value, _ []byte, read lock, seen *trace) error {
	return q.leaseAPI.acquire(ctx, key, session, value, nil, read, seen)
}

// counting counts the calls to read.
type counting struct {
	leaseAPI
	reads *atomic.Int64
}

func (c counting) read(ctx context.Context, key string, index uint64) (lock, uint64, error) {
	c.reads.Add(1)
	return c.leaseAPI.read(ctx, key, index)
}

func TestAStandbyWaitsWithoutPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		w := newTown(1, nil)
		w.start("host-0")
		time.Sleep(3 * time.Second)
		w.adjust = func(c *competitor) { c.api = counting{c.api, &reads} }
		w.start("host-1")
		time.Sleep(time.Second)
		reads.Store(0)
		time.Sleep(time.Minute)
		if n := reads.Load(); n > 16 {
			t.Errorf("%d reads a minute, want one every 4 s", n)
		}
		w.end()
	})
}

// looking counts how often the leader was asked for.
type looking struct {
	leaseAPI
	looks *atomic.Int64
}

func (l looking) leader(ctx context.Context) (string, error) {
	l.looks.Add(1)
	return l.leaseAPI.leader(ctx)
}

func TestTheLeaderIsLookedForOftenOnlyWhenItWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		w := newTown(1, func(c *competitor) { c.api = looking{c.api, &looks} })
		w.start("host-0")
		time.Sleep(5 * time.Second)
		within := func(what string, d time.Duration, least, most int64) {
			looks.Store(0)
			time.Sleep(d)
			if n := looks.Load(); n < least || n > most {
				t.Errorf("%s: %d looks in %v, want %d to %d", what, n, d, least, most)
			}
		}
		within("with one", 10*time.Second, 10, 20)
		w.suffer(fault{kind: "no leader", last: 2 * time.Minute})
		within("at first", 4*time.Second, 80, 160)
		time.Sleep(26 * time.Second)
		within("later", 10*time.Second, 30, 40)
		w.end()
	})
}

// stuck is a Consul that answers for a while and then nothing any more.
type stuck struct {
	leaseAPI
	since *atomic.Bool
}

func (s stuck) pass(ctx context.Context, check string) error {
	if s.since.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.leaseAPI.pass(ctx, check)
}

func TestACallThatHangsDoesNotDelayTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		w := newTown(1, func(c *competitor) { c.api = stuck{c.api, &hangs} })
		w.start("host-0")
		time.Sleep(3*time.Second + 100*time.Millisecond)
		p := w.running["host-0"]
		tenure := p.held()
		until := tenure.Until()
		if rest := time.Until(until); rest < 500*time.Millisecond || rest > 800*time.Millisecond {
			t.Errorf("the lease ends in %v", rest)
		}
		hangs.Store(true)
		<-tenure.Context().Done()
		if late := time.Since(until); late != 0 {
			t.Errorf("fenced %v late", late)
		}
		if cause := context.Cause(tenure.Context()); !errors.Is(cause, ErrFenced) {
			t.Errorf("cause %v", cause)
		}
		p.cancel()
		<-p.done
		time.Sleep(time.Minute)
	})
}

func TestWhoCannotBeatDoesNotTakeTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		w := newTown(1, nil)
		w.start("host-1")
		time.Sleep(3 * time.Second)
		w.adjust = func(c *competitor) { c.api = stuck{c.api, &hangs} }
		w.start("host-0")
		time.Sleep(time.Second)
		hangs.Store(true)
		time.Sleep(600 * time.Millisecond) // its check is passing still
		w.suffer(fault{kind: "kill", host: 1})
		w.suffer(fault{kind: "destroy the session"})
		time.Sleep(300 * time.Millisecond)
		w.do(func() {
			if !w.lock.free() {
				t.Errorf("%s has taken it", w.lock.holder.Host)
			}
		})
		hangs.Store(false)
		time.Sleep(2 * time.Second)
		if got := w.history.holder(); got != "host-0" {
			t.Errorf("%q acts", got)
		}
		w.end()
	})
}

// A process that was stopped for a while may come to look at an answer before its timers run.
func TestABeatThatComesLateDoesNotReviveATenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenure := newTenure(1, "s", 800*time.Millisecond)
		start := time.Now()
		tenure.confirmed(start)
		tenure.fence.Stop() // as if it had not run yet
		time.Sleep(800 * time.Millisecond)
		tenure.confirmed(time.Now())
		if tenure.Context().Err() == nil || !tenure.Until().Equal(start.Add(800*time.Millisecond)) {
			t.Errorf("it goes on until %v", tenure.Until().Sub(start))
		}
		tenure.confirmed(time.Now())
		if tenure.HandOver("host-1") {
			t.Error("a tenure that has ended was handed over")
		}
	})
}

func TestABeatThatTookTooLongBeginsNoTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenure := newTenure(1, "s", 800*time.Millisecond)
		start := time.Now()
		time.Sleep(800 * time.Millisecond)
		tenure.confirmed(start)
		if !tenure.Until().IsZero() {
			t.Error("it began")
		}
	})
}

func TestLeaseValidate(t *testing.T) {
	err := (&Client{}).Compete(t.Context(), Lease{Beat: time.Second, TTL: time.Second})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Key", "Host", "Check", "Beat", "Hold", "Observe"} {
		if !strings.Contains(err.Error(), field+" is") {
			t.Errorf("%q does not name %s", err, field)
		}
	}
}
