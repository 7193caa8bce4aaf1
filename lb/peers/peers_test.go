package peers

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
)

// fakeStore is a KV store in memory that tells its watchers of every change.
type fakeStore struct {
	mu       sync.Mutex
	pairs    map[string]consul.Pair
	index    uint64
	watchers []chan struct{}
	down     bool // for who writes
	deaf     bool // for who reads: it has an error each second
	silent   bool // for who reads: it answers nothing
}

func (f *fakeStore) change(how func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errors.New("down")
	}
	f.index++
	how()
	f.wake()
	return nil
}

// wake has all watchers look again. The caller holds the lock.
func (f *fakeStore) wake() {
	for _, watcher := range f.watchers {
		select {
		case watcher <- struct{}{}:
		default:
		}
	}
}

// fail sets what does not work from now on.
func (f *fakeStore) fail(down, deaf, silent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down, f.deaf, f.silent = down, deaf, silent
	f.wake()
}

func (f *fakeStore) has(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pairs[key].Found
}

func (f *fakeStore) Put(_ context.Context, key string, value []byte) error {
	return f.change(func() { f.pairs[key] = consul.Pair{Key: key, Found: true, Value: value, ModifyIndex: f.index} })
}

func (f *fakeStore) Delete(_ context.Context, key string) error {
	return f.change(func() { delete(f.pairs, key) })
}

func (f *fakeStore) DeleteUnchanged(_ context.Context, read consul.Pair) (gone bool, err error) {
	err = f.change(func() {
		if gone = f.pairs[read.Key].ModifyIndex == read.ModifyIndex; gone {
			delete(f.pairs, read.Key)
		}
	})
	return gone, err
}

func (f *fakeStore) WatchTree(ctx context.Context, _ string, observe func(consul.TreeObservation)) {
	changed := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers = append(f.watchers, changed)
	f.mu.Unlock()
	for {
		f.mu.Lock()
		var pairs []consul.Pair
		for _, pair := range f.pairs {
			pairs = append(pairs, pair)
		}
		deaf, silent := f.deaf, f.silent
		f.mu.Unlock()
		switch {
		case deaf:
			observe(consul.TreeObservation{Err: errors.New("deaf")})
		case !silent:
			observe(consul.TreeObservation{Pairs: pairs})
		}
		var again <-chan time.Time
		if deaf {
			again = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
		}
	}
}

// balancer is a load balancer whose digest a test can change.
type balancer struct {
	*Peers
	mu     sync.Mutex
	digest string
	drains []string
	design string
	stop   func()
}

func (b *balancer) set(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.digest = digest
}

func (b *balancer) drain(instances ...string) {
	b.mu.Lock()
	b.drains = instances
	b.mu.Unlock()
	b.Changed()
}

func (b *balancer) setDesign(design string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.design = design
}

func startBalancer(t *testing.T, store *fakeStore, id string) *balancer {
	t.Helper()
	return startBalancing(t, store, id, "web")
}

func startBalancing(t *testing.T, store *fakeStore, id, service string) *balancer {
	t.Helper()
	b := &balancer{digest: "same", drains: []string{}}
	b.Peers = New(store, "zato/main/lb/", id, service, func() Applied {
		b.mu.Lock()
		defer b.mu.Unlock()
		return Applied{Index: 7, Digest: b.digest, Design: b.design, At: time.Now(), Drained: b.drains}
	}, zerolog.New(zerolog.NewTestWriter(t)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return b
}

// pass lets fake time pass and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestADivergenceIsReportedWhenItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		one, two := startBalancer(t, store, "lb-1"), startBalancer(t, store, "lb-2")
		pass(time.Minute)
		if r := one.Report().Others; len(r) != 1 || r[0].ID != "lb-2" || r[0].Diverges || r[0].Age > Lifetime {
			t.Errorf("in step: %+v", r)
		}

		two.set("other")
		pass(Patience / 2)
		two.set("same")
		pass(time.Minute)
		if r := one.Report().Others; r[0].Diverges {
			t.Errorf("differed for a moment: %+v", r)
		}

		two.set("other")
		pass(Patience + 3*time.Second)
		for _, b := range []*balancer{one, two} {
			if r := b.Report().Others; len(r) != 1 || !r[0].Diverges {
				t.Errorf("differs for long: %+v", r)
			}
		}
		two.set("same")
		pass(3 * time.Second)
		if r := one.Report().Others; r[0].Diverges {
			t.Errorf("in step again: %+v", r)
		}

		two.stop()
		pass(time.Second)
		if r := one.Report().Others; len(r) != 0 {
			t.Errorf("stopped: %+v", r)
		}
		one.stop()
	})
}

func TestAnInstanceIsDrainedWhenAllSaySoWhoseWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		one, two, three := startBalancer(t, store, "lb-1"), startBalancer(t, store, "lb-2"), startBalancer(t, store, "lb-3")
		pass(time.Second)
		expect := func(when string, want bool) {
			t.Helper()
			if synctest.Wait(); one.Drained("n/web-1") != want {
				t.Errorf("%s: %v", when, !want)
			}
		}
		two.drain("n/web-1", "n/web-9")
		expect("one of two", false)
		three.drain("n/web-1")
		expect("both, which is told at once", true)
		two.drain() // null, as an older version says
		expect("one does not say", true)
		two.drain("n/web-2")
		expect("another instance", false)
		two.stop()
		expect("the other one is gone", true)
		three.drain("n/web-3")
		expect("the last one", false)
		three.stop()
		if err := store.Put(t.Context(), "zato/main/lb/lb-4", []byte(`{"digest": "same", "drained": []}`)); err != nil {
			t.Fatal(err)
		}
		expect("one that dies", false)
		pass(Lifetime + time.Second)
		expect("one that is dead", true)
		one.stop()
	})
}

func TestWhoBalancesAnotherServiceIsNoPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		one, two, other := startBalancing(t, store, "lb-1", "web"), startBalancing(t, store, "lb-2", "web"), startBalancing(t, store, "lb-3", "mail")
		other.set("others")
		pass(Patience + 3*time.Second)
		two.drain("n/web-1")
		synctest.Wait()
		if r := one.Report().Others; len(r) != 1 || r[0].ID != "lb-2" || r[0].Diverges || !one.Drained("n/web-1") {
			t.Errorf("of the same service: %+v", r)
		}
		if r := other.Report().Others; len(r) != 0 || !other.Drained("n/mail-1") {
			t.Errorf("of another one: %+v", r)
		}
		for _, b := range []*balancer{one, two, other} {
			b.stop()
		}
	})
}

func TestOtherSettingsAreReportedWhenTheyLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		one, two := startBalancer(t, store, "lb-1"), startBalancer(t, store, "lb-2")
		defer one.stop()
		defer two.stop()
		one.setDesign("a")
		for _, step := range []struct {
			design string
			lasts  time.Duration
			want   bool
		}{
			{"", time.Minute, false}, // it is of an older version, which does not say
			{"b", Patience / 2, false},
			{"a", time.Minute, false},
			{"b", Patience + 3*time.Second, true},
			{"a", 3 * time.Second, false},
		} {
			two.setDesign(step.design)
			pass(step.lasts)
			if r := one.Report().Others; len(r) != 1 || r[0].Differs != step.want || r[0].Diverges {
				t.Errorf("%+v: %+v", step, r)
			}
		}
	})
}

// One that was there at the start may be of a load balancer that is dead: only if it is renewed is it compared.
func TestAnOldWordIsNoDivergence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		say := func(id, word string) {
			t.Helper()
			if err := store.Put(t.Context(), "zato/main/lb/"+id, []byte(word)); err != nil {
				t.Fatal(err)
			}
		}
		say("lb-dead", `{"consul_index": 3, "digest": "old", "drained": []}`)
		say("lb-odd", `not JSON`)
		one := startBalancer(t, store, "lb-1")
		defer one.stop()
		pass(Patience + 3*time.Second)
		if r := one.Report().Others; len(r) != 2 || r[0].Diverges || r[1].Diverges || one.Drained("n/web-1") {
			t.Errorf("at the start: %+v", r)
		}
		say("lb-odd", `not JSON either`)
		pass(Patience + 3*time.Second)
		if r := one.Report().Others; len(r) != 1 || r[0].ID != "lb-odd" || !r[0].Diverges || !one.Drained("n/web-1") {
			t.Errorf("one was renewed: %+v", r)
		}
		pass(Lifetime)
		if r := one.Report().Others; len(r) != 0 {
			t.Errorf("too old: %+v", r)
		}
	})
}

func TestTheWordOfALoadBalancerThatDiedIsDeletedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		for _, id := range []string{"lb-dead", "lb-other"} {
			service := map[string]string{"lb-dead": "web", "lb-other": "mail"}[id]
			if err := store.Put(t.Context(), "zato/main/lb/"+id, []byte(`{"service": "`+service+`"}`)); err != nil {
				t.Fatal(err)
			}
		}
		one, two := startBalancer(t, store, "lb-1"), startBalancer(t, store, "lb-2")
		defer one.stop()
		defer two.stop()
		pass(keptFor - time.Minute)
		if !store.has("zato/main/lb/lb-dead") {
			t.Error("deleted before its time")
		}
		pass(2 * time.Minute)
		for id, want := range map[string]bool{"lb-dead": false, "lb-other": true, "lb-1": true, "lb-2": true} {
			if store.has("zato/main/lb/"+id) != want {
				t.Errorf("the word of %s is there: %v", id, !want)
			}
		}
	})
}

// While the words of others cannot be read, those that were there are waited for, and are not compared.
func TestWhoCannotBeHeardIsReckonedWith(t *testing.T) {
	for name, c := range map[string]struct {
		deaf, silent bool
		why          string
	}{"an error": {true, false, "deaf"}, "no answer": {false, true, errSilence.Error()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{pairs: map[string]consul.Pair{}}
				one, two, three := startBalancer(t, store, "lb-1"), startBalancer(t, store, "lb-2"), startBalancer(t, store, "lb-3")
				defer one.stop()
				defer two.stop()
				three.drain("n/web-1")
				two.drain("n/web-9")
				pass(time.Minute)
				store.fail(false, c.deaf, c.silent)
				one.set("newer")
				for range 5 * 60 {
					if pass(time.Second); one.Drained("n/web-1") || one.Drained("n/web-9") {
						t.Fatal("it may go, though lb-2 has not said so")
					}
					for _, other := range one.Report().Others {
						if other.Diverges && c.deaf {
							t.Fatalf("what it said is old: %+v", other)
						}
					}
				}
				if r := one.Report(); len(r.Others) != 0 || r.ReadError != c.why || r.ReadFailures < 60 || r.WriteError != "" {
					t.Errorf("%+v", r)
				}
				three.stop()
				two.drain("n/web-1", "n/web-9")
				one.set("same")
				store.fail(false, false, false)
				pass(time.Second)
				if r := one.Report(); r.ReadError != "" || len(r.Others) != 1 || r.Others[0].Diverges || !one.Drained("n/web-1") {
					t.Errorf("it is read again: %+v", r)
				}
			})
		})
	}
}

// Consul was away for all. Who comes back later than this one is waited for as if this one had just been started.
func TestBehindASilenceTheOthersHaveTimeToRenewTheirWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		one := startBalancer(t, store, "lb-1")
		defer one.stop()
		pass(time.Second)
		if err := store.Put(t.Context(), "zato/main/lb/lb-2", []byte(`{"service": "web", "digest": "old", "drained": []}`)); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		store.fail(true, true, false)
		pass(time.Hour / 2)
		store.fail(false, false, false)
		pass(renewal - time.Second)
		if r := one.Report().Others; one.Drained("n/web-1") || len(r) != 1 || r[0].Diverges {
			t.Errorf("it has time to renew its word: %+v", r)
		}
		pass(2 * time.Second)
		if r := one.Report().Others; !one.Drained("n/web-1") || len(r) != 0 {
			t.Errorf("it is gone: %+v", r)
		}
	})
}

func TestThatTheOthersCannotBeToldIsLoggedOnceAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, log := &fakeStore{pairs: map[string]consul.Pair{}}, &bytes.Buffer{}
		one := New(store, "zato/main/lb/", "lb-1", "web", func() Applied { return Applied{} }, zerolog.New(log))
		if one.Drained("n/web-1") {
			t.Error("before anything was read")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- one.Run(ctx) }()
		pass(time.Minute)
		store.fail(true, false, false)
		pass(time.Minute)
		if r := one.Report(); r.WriteError != "down" || r.WriteFailures < 45 || r.ReadError != "" {
			t.Errorf("%+v", r)
		}
		store.fail(false, false, false)
		pass(time.Minute)
		if r := one.Report(); r.WriteError != "" {
			t.Errorf("%+v", r)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, message := range []string{one.writing.fails, one.writing.again} {
			if n := strings.Count(log.String(), message); n != 1 {
				t.Errorf("%d times %q in\n%s", n, message, log)
			}
		}
	})
}

func TestWithoutConsulNothingIsPublishedAndTheNextLookTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}, down: true}
		one := startBalancer(t, store, "lb-1")
		defer one.stop()
		pass(10 * time.Second)
		store.mu.Lock()
		store.down = false
		store.mu.Unlock()
		pass(2 * time.Second)
		store.mu.Lock()
		defer store.mu.Unlock()
		if len(store.pairs) != 1 {
			t.Errorf("published: %v", store.pairs)
		}
	})
}
