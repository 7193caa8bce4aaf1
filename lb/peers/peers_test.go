package peers

import (
	"context"
	"errors"
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
	down     bool
}

func (f *fakeStore) change(how func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errors.New("down")
	}
	f.index++
	how()
	for _, watcher := range f.watchers {
		select {
		case watcher <- struct{}{}:
		default:
		}
	}
	return nil
}

func (f *fakeStore) Put(_ context.Context, key string, value []byte) error {
	return f.change(func() { f.pairs[key] = consul.Pair{Key: key, Found: true, Value: value, ModifyIndex: f.index} })
}

func (f *fakeStore) Delete(_ context.Context, key string) error {
	return f.change(func() { delete(f.pairs, key) })
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
		f.mu.Unlock()
		observe(consul.TreeObservation{Pairs: pairs})
		select {
		case <-ctx.Done():
			return
		case <-changed:
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
		if r := one.Report(); len(r) != 1 || r[0].ID != "lb-2" || r[0].Diverges || r[0].Age > Lifetime {
			t.Errorf("in step: %+v", r)
		}

		two.set("other")
		pass(Patience / 2)
		two.set("same")
		pass(time.Minute)
		if r := one.Report(); r[0].Diverges {
			t.Errorf("differed for a moment: %+v", r)
		}

		two.set("other")
		pass(Patience + 3*time.Second)
		for _, b := range []*balancer{one, two} {
			if r := b.Report(); len(r) != 1 || !r[0].Diverges {
				t.Errorf("differs for long: %+v", r)
			}
		}
		two.set("same")
		pass(3 * time.Second)
		if r := one.Report(); r[0].Diverges {
			t.Errorf("in step again: %+v", r)
		}

		two.stop()
		pass(time.Second)
		if r := one.Report(); len(r) != 0 {
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
		if r := one.Report(); len(r) != 1 || r[0].ID != "lb-2" || r[0].Diverges || !one.Drained("n/web-1") {
			t.Errorf("of the same service: %+v", r)
		}
		if r := other.Report(); len(r) != 0 || !other.Drained("n/mail-1") {
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
			if r := one.Report(); len(r) != 1 || r[0].Differs != step.want || r[0].Diverges {
				t.Errorf("%+v: %+v", step, r)
			}
		}
	})
}

func TestAnOldWordIsNoDivergence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{pairs: map[string]consul.Pair{}}
		if err := store.Put(t.Context(), "zato/main/lb/lb-dead", []byte(`{"consul_index": 3, "digest": "old"}`)); err != nil {
			t.Fatal(err)
		}
		if err := store.Put(t.Context(), "zato/main/lb/lb-odd", []byte(`not JSON`)); err != nil {
			t.Fatal(err)
		}
		one := startBalancer(t, store, "lb-1")
		defer one.stop()
		pass(Patience + 3*time.Second)
		if r := one.Report(); len(r) != 2 || !r[0].Diverges {
			t.Errorf("%+v", r)
		}
		pass(Lifetime)
		if r := one.Report(); len(r) != 0 {
			t.Errorf("too old: %+v", r)
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
