package zmtp

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkPush sends from many goroutines at once, each message confirmed; -cpu chooses how many.
func BenchmarkPush(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			push, stop := benchPair(b)
			defer stop()
			body := make([]byte, size)
			b.SetBytes(int64(size))
			b.SetParallelism(64)
			b.ReportAllocs()
			var failed atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if push.Send(b.Context(), body) != nil {
						failed.Add(1)
					}
				}
			})
			if failed.Load() > 0 {
				b.Errorf("%d failed", failed.Load())
			}
		})
	}
}

// BenchmarkPushOneByOne is the time until one message is confirmed.
func BenchmarkPushOneByOne(b *testing.B) {
	push, stop := benchPair(b)
	defer stop()
	var took []time.Duration
	for b.Loop() {
		since := time.Now()
		if err := push.Send(b.Context(), []byte("x")); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(since))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(took[len(took)-1].Nanoseconds()), "worst-ns")
}

// benchPair is a PUSH, and a PULL that takes all.
func benchPair(b *testing.B) (push *Socket, stop func()) {
	pull, err := Open(Options{Type: Pull, Method: Bind, Addresses: []string{"tcp://127.0.0.1:*"}})
	if err != nil {
		b.Fatal(err)
	}
	push, err = Open(Options{Type: Push, Method: Connect, Addresses: []string{pull.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			if _, err := pull.Receive(b.Context()); err != nil {
				return
			}
		}
	}()
	return push, func() {
		_ = push.Close(b.Context())
		_ = pull.Close(b.Context())
	}
}
