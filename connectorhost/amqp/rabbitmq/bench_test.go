package rabbitmq

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

// TestAHandoverIsShort measures the time between the last call of a channel that is stopped and the first of one that
// stands ready, with messages waiting. It asserts nothing but a generous bound.
func TestAHandoverIsShort(t *testing.T) {
	const handovers = 30
	queue := newQueue(t, "quorum", nil)
	fields := map[string]any{"queue": queue, "queue_type": "quorum"}
	var last atomic.Int64 // when the latest call ended
	var messages []amqp091.Publishing
	for i := range 2000 {
		messages = append(messages, named(fmt.Sprint(i)))
	}
	var gaps []time.Duration
	old := runChannel(t, fields, func(context.Context, connector.Message) error {
		last.Store(time.Now().UnixNano())
		return nil
	})
	for range handovers {
		var first atomic.Int64
		begin := make(chan struct{})
		next := runChannelWith(t, fields, connector.Options{Begin: begin}, func(context.Context, connector.Message) error {
			now := time.Now().UnixNano()
			first.CompareAndSwap(0, now)
			last.Store(now)
			return nil
		})
		next.await(t, connector.Prepared)
		put(t, queue, messages...)
		conformance.Eventually(t, "messages", func() bool { return ready(t, queue) < 2000 })
		old.stop(t)
		before := last.Load()
		close(begin)
		put(t, queue, named("more")) // should all be gone by now
		conformance.Eventually(t, "first call", func() bool { return first.Load() != 0 })
		gaps = append(gaps, time.Duration(first.Load()-before))
		old = next
	}
	slices.Sort(gaps)
	t.Logf("n=%d, median %v, worst %v", handovers, gaps[handovers/2], gaps[handovers-1])
	if gaps[handovers-1] > 10*time.Second {
		t.Errorf("a handover took %v", gaps[handovers-1])
	}
}

// TestAnIdleConnectorIsSmall says how much memory one takes. It asserts nothing.
func TestAnIdleConnectorIsSmall(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	r := runChannel(t, map[string]any{"queue": queue}, succeed)
	r.await(t, connector.Running)
	after := heap()
	resident, _ := os.ReadFile("/proc/self/statm")
	t.Logf("a running channel holds %d KiB of the heap; statm of the test: %s", (int64(after)-int64(before))/1024, resident)
	r.stop(t)
}
