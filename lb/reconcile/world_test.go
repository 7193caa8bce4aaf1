package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/haproxy"
	"zatoha/lb/state"
)

// fakePlane is an HAProxy that keeps its servers in memory and can be made to fail, and Consul's KV beside it.
type fakePlane struct {
	mu       sync.Mutex
	acks     map[string]string
	told     int // how often an acknowledgement was written
	running  []haproxy.Server
	saved    []haproxy.Server
	sessions map[string]int
	foreign  []haproxy.Server // an operator's own server lines, which the file has above ours
	closed   int              // how many more attempts to open the front do not help; it is open at 0
	shut     error            // why they fail
	opens    int              // attempts
	lost     string           // the slot that HAProxy runs without, whatever its file has
	changed  func()           // is called when HAProxy was reloaded
	rebuilds int              // all that were asked for
	down     error
	refuses  error           // to be reloaded
	full     error           // why the file cannot be written
	done     haproxy.Rewrite // what the next call is to say that it did
	set      []haproxy.Change
	deaf     string        // the key that cannot be written
	away     error         // why Consul's KV cannot be asked
	frozen   bool          // Consul's KV takes questions and does not answer
	hang     chan struct{} // if not nil, reading the servers takes until it is closed
}

func (f *fakePlane) Servers(context.Context) ([]haproxy.Server, error) {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.running), f.down
}

func (f *fakePlane) Stats(context.Context) (haproxy.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := haproxy.Stats{Servers: map[string]haproxy.Counters{}}
	for name, sessions := range f.sessions {
		stats.Servers[name] = haproxy.Counters{Traffic: haproxy.Traffic{Sessions: sessions}}
	}
	return stats, f.down
}

func (f *fakePlane) Set(_ context.Context, changes []haproxy.Change) (haproxy.Rewrite, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = append(f.set, changes...)
	for _, change := range changes {
		i := slices.IndexFunc(f.running, func(s haproxy.Server) bool { return s.Name == change.To.Name })
		if i < 0 {
			return haproxy.Rewrite{}, fmt.Errorf("no such server %s", change.To.Name)
		}
		f.running[i] = change.To
	}
	return f.takeDone(), f.down
}

func (f *fakePlane) Save(_ context.Context, servers []haproxy.Server) (haproxy.Rewrite, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.saved = slices.Clone(servers)
	}
	return f.takeDone(), f.full
}

// takeDone is for the caller who holds the lock.
func (f *fakePlane) takeDone() haproxy.Rewrite {
	done := f.done
	f.done = haproxy.Rewrite{}
	return done
}

func (f *fakePlane) Rebuild(_ context.Context, servers []haproxy.Server, reason haproxy.Reload) (haproxy.Rewrite, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rebuilds++
	if err := errors.Join(f.down, f.refuses); err != nil {
		return haproxy.Rewrite{}, err
	}
	f.saved = slices.Clone(servers)
	f.load()
	f.running = slices.DeleteFunc(f.running, func(s haproxy.Server) bool { return s.Name == f.lost })
	f.changed()
	return haproxy.Rewrite{Reload: reason}, nil
}

func (f *fakePlane) Open(context.Context, []haproxy.Server) (haproxy.Rewrite, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed == 0 {
		return haproxy.Rewrite{}, f.down
	}
	f.closed--
	f.opens++
	if f.shut != nil {
		return haproxy.Rewrite{}, f.shut
	}
	f.load()
	return haproxy.Rewrite{Opened: true, Reload: haproxy.ReloadToUndo}, nil
}

// load has HAProxy run what the file says, which has no word for draining. It is for the caller who holds the lock.
func (f *fakePlane) load() {
	f.running = slices.Clone(f.foreign)
	for _, s := range f.saved {
		if s.Free() {
			s.Address, s.Port, s.Weight = "127.0.0.1", 1, 1 // haproxy.FreeEndpoint
		}
		if s.Admin != haproxy.Ready {
			s.Admin = haproxy.Maint
		}
		f.running = append(f.running, s)
	}
}

// String is the backend as it runs, without its free slots.
func (f *fakePlane) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, s := range f.running {
		if !s.Free() && s.Endpoint() != haproxy.FreeEndpoint {
			lines = append(lines, fmt.Sprintf("%s %s %s", s.Name, s.Endpoint(), s.Admin))
		}
	}
	return strings.Join(lines, "\n")
}

func (f *fakePlane) Put(_ context.Context, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if key == f.deaf {
		return errors.New("permission denied")
	}
	if f.away != nil {
		return f.away
	}
	f.acks[key] = string(value)
	f.told++
	return f.down
}

func (f *fakePlane) Get(ctx context.Context, key string) (consul.Pair, error) {
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	if frozen {
		<-ctx.Done()
		return consul.Pair{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return consul.Pair{}, f.away
	}
	value, found := f.acks[key]
	return consul.Pair{Key: key, Value: []byte(value), Found: found}, f.down
}

// change is how a test reaches in while the loop runs.
func (f *fakePlane) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

// take reads an acknowledgement and removes it.
func (f *fakePlane) take(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	value := f.acks[key]
	delete(f.acks, key)
	return value
}

// world is a loop that runs in fake time against fakes.
type world struct {
	*Loop
	plane *fakePlane
	index uint64

	published []string        // what the other load balancers were told
	took      []time.Duration // what the changes took
	busy      string          // the member that another load balancer has not drained yet
}

// inWorld runs a test with a loop over a pool of n free slots.
func inWorld(t *testing.T, n int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pool := state.NewPool(n)
		w := &world{plane: &fakePlane{running: Servers(pool), sessions: map[string]int{}, acks: map[string]string{}}}
		w.Loop = New(pool, w.plane, w.plane, zerolog.New(zerolog.NewTestWriter(t)), Options{
			Policy:     state.Policy{Headroom: 2, Guard: 0.5},
			Cluster:    "main",
			Resync:     5 * time.Second,
			Grown:      func(int) {},
			Propagated: func(took time.Duration) { w.took = append(w.took, took) },
			Drained:    func() { w.published = append(w.published, fmt.Sprint(w.Drained())) },
			Agreed: func(key string) bool {
				w.plane.mu.Lock()
				defer w.plane.mu.Unlock()
				return key != w.busy
			},
		})
		w.plane.changed = w.Wake
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		test(t, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// catalog shows the loop a snapshot: "ID STATUS", one instance for each.
func (w *world) catalog(t *testing.T, instances ...string) {
	t.Helper()
	w.index++
	snapshot := consul.Snapshot{Index: w.index}
	for _, text := range instances {
		id, status, _ := strings.Cut(text, " ")
		snapshot.Instances = append(snapshot.Instances, consul.Instance{
			Node: "n", ID: id, Address: "10.0.0." + strings.TrimPrefix(id, "web-"), Port: 80,
			WeightPassing: 1, WeightWarning: 1, Status: consul.Status(status),
		})
	}
	w.Observe(t.Context(), consul.Observation{Snapshot: snapshot})
	synctest.Wait()
}

// pass lets fake time pass and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) runs(t *testing.T, want ...string) {
	t.Helper()
	if got := w.plane.String(); got != strings.Join(want, "\n") {
		t.Errorf("haproxy runs\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
