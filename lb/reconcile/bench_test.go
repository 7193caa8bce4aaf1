package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/consul"
	"zatoha/lb/state"
)

// BenchmarkOneChange is the way of one new weight from the snapshot in hand to the runtime socket, and of what follows
// it, without Consul and HAProxy themselves.
func BenchmarkOneChange(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			plane := &fakePlane{running: Servers(state.NewPool(n + 10)), sessions: map[string]int{}, acks: map[string]string{}}
			l := New(state.NewPool(n+10), plane, plane, zerolog.Nop(), Options{Policy: state.Policy{Headroom: 10, Guard: 0.5}, Propagated: func(time.Duration) {}, Drained: func() {}, Agreed: func(string) bool { return true }})
			snapshot := consul.Snapshot{Instances: make([]consul.Instance, n)}
			for i := range snapshot.Instances {
				snapshot.Instances[i] = consul.Instance{
					Node: "n", ID: fmt.Sprintf("instance-%05d", i), Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Port: 80,
					WeightPassing: 1, WeightWarning: 1, Status: consul.Passing,
				}
			}
			step := func(weight int) {
				snapshot.Index++
				snapshot.Instances[n/2].WeightPassing = weight
				l.Observe(b.Context(), consul.Observation{Snapshot: snapshot})
				pool, seen := l.read()
				plan, refused, _ := l.decide(b.Context(), pool, seen)
				next := plan.ApplyTo(pool)
				l.commit(next, plan, refused, seen)
				l.hurry(b.Context(), l.parting.take(plan, time.Now()), seen)
			}
			step(1)
			for i := 0; b.Loop(); i++ {
				step(2 + i%2)
			}
		})
	}
}
