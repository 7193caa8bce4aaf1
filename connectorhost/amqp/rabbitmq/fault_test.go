package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
)

// TestAFrozenConnectionIsGivenUp stops every byte, without an error, as a pulled cable does.
func TestAFrozenConnectionIsGivenUp(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	p := conformance.NewProxy(t, node.Address())
	fields := map[string]any{"queue": queue, "url": through(p.Address), "heartbeat": 1}
	r := runChannel(t, fields, succeed)
	r.await(t, connector.Running)
	s, sender := runSender(t, map[string]any{"routing_key": queue, "url": through(p.Address), "heartbeat": 1})
	sender.await(t, connector.Running)
	p.Freeze()
	if err := s.Send(within(t, 200*time.Millisecond), connector.Message{Body: []byte("x")}); err == nil {
		t.Error("a send into nothing succeeds")
	}
	since := time.Now()
	conformance.Eventually(t, "loss of the connection", func() bool {
		return r.now().State != connector.Running && sender.now().State != connector.Running
	})
	t.Logf("given up after %v", time.Since(since))
	p.Down()
	p.Up()
	r.await(t, connector.Running)
	sender.await(t, connector.Running)
	put(t, queue, named("after"))
	conformance.Eventually(t, "message", func() bool { return r.now().Counts.Accepted > 0 })
	r.stop(t)
}

// TestAStopDoesNotWaitForAFrozenBroker stops while no byte passes, long before the heartbeats notice.
func TestAStopDoesNotWaitForAFrozenBroker(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	p := conformance.NewProxy(t, node.Address())
	r := runChannel(t, map[string]any{"queue": queue, "url": through(p.Address), "heartbeat": 60}, succeed)
	r.await(t, connector.Running)
	p.Freeze()
	since := time.Now()
	r.stop(t)
	if took := time.Since(since); took > 20*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("it took %v", took)
	}
}

// TestNothingIsLostWhenTheBrokerIsKilled kills RabbitMQ while messages are on their way, in and out.
func TestNothingIsLostWhenTheBrokerIsKilled(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			const messages, kills = 1000, 2
			queue := newQueue(t, kind, nil)
			// RabbitMQ 3.10 writes the registration of a new quorum queue to disk minutes later, or at a stop: if it is
			// killed before that, the queue has no leader for ever.
			node.Stop(t)
			node.Start(t)
			var mu sync.Mutex
			calls := map[string]int{}
			unmarked := 0
			total := func() int {
				mu.Lock()
				defer mu.Unlock()
				return len(calls)
			}
			r := runChannel(t, map[string]any{"queue": queue, "queue_type": kind}, func(_ context.Context, m connector.Message) error {
				mu.Lock()
				defer mu.Unlock()
				calls[m.ID]++
				if calls[m.ID] > 1 && !m.Redelivered {
					unmarked++
				}
				return nil
			})
			s, sender := runSender(t, map[string]any{"routing_key": queue})
			sender.await(t, connector.Running)
			var again atomic.Int64
			var senders sync.WaitGroup
			for from := range 10 {
				senders.Go(func() {
					for i := from; i < messages; i += 10 {
						again.Add(sendUntilConfirmed(s, fmt.Sprint(i)))
					}
				})
			}
			for n := 1; n <= kills; n++ {
				conformance.Eventually(t, "progress", func() bool { return total() >= n*messages/(kills+2) })
				node.Kill()
				node.Start(t)
			}
			senders.Wait()
			conformance.Eventually(t, "end", func() bool { return total() == messages && ready(t, queue) == 0 })
			status := r.stop(t)
			duplicates := 0
			for _, n := range calls {
				duplicates += n - 1
			}
			t.Logf("%d messages, %d kills: %d sent again, %d calls twice, %d known as done, %d not marked; %+v",
				messages, kills, again.Load(), duplicates, status.Counts.Duplicates, unmarked, status.Counts)
			if status.Counts.Parked+status.Counts.Failed > 0 {
				t.Errorf("messages were parked: %+v", status.Counts)
			}
			// What was sent again is another message to the broker; nothing else may come twice without the mark.
			if unmarked > int(again.Load()) {
				t.Errorf("%d second deliveries were not marked", unmarked)
			}
			if n := len(take(t, queue+".dead-letter")); n > 0 {
				t.Errorf("%d messages are parked", n)
			}
		})
	}
}

// TestALostConnectionIsNoticedWhileAllIsInFlight loses the connection while no message may be received.
func TestALostConnectionIsNoticedWhileAllIsInFlight(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	p := conformance.NewProxy(t, node.Address())
	open := make(chan struct{})
	var calls atomic.Int64
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": "quorum", "prefetch_count": 1, "url": through(p.Address)},
		func(context.Context, connector.Message) error {
			calls.Add(1)
			<-open
			return nil
		})
	put(t, queue, named("1"))
	conformance.Eventually(t, "call", func() bool { return calls.Load() == 1 })
	p.Cut()
	conformance.Eventually(t, "new connection", func() bool { s := r.now(); return s.Counts.Connects == 2 && s.State == connector.Running })
	close(open)
	conformance.Eventually(t, "end", func() bool { return ready(t, queue) == 0 && r.now().Counts.Duplicates == 1 })
	r.stop(t)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// sendUntilConfirmed says how many sends were in vain, as far as is known.
func sendUntilConfirmed(s *connector.Sender, id string) (again int64) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := s.Send(ctx, connector.Message{ID: id, Body: []byte("x")})
		cancel()
		if err == nil {
			return again
		}
		again++
		<-time.After(100 * time.Millisecond)
	}
}

// TestManyShortCuts cuts the connection again and again.
func TestManyShortCuts(t *testing.T) {
	queue := newQueue(t, "quorum", nil)
	p := conformance.NewProxy(t, node.Address())
	var messages []amqp091.Publishing
	const n = 1000
	for i := range n {
		messages = append(messages, named(fmt.Sprint(i)))
	}
	put(t, queue, messages...)
	var mu sync.Mutex
	seen, calls := map[string]bool{}, 0
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": "quorum", "url": through(p.Address)}, func(_ context.Context, m connector.Message) error {
		mu.Lock()
		defer mu.Unlock()
		seen[m.ID] = true
		if calls++; calls%100 == 0 {
			p.Cut()
		}
		return nil
	})
	conformance.Eventually(t, "end", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == n
	})
	conformance.Eventually(t, "empty queue", func() bool { return ready(t, queue) == 0 })
	s := r.stop(t)
	t.Logf("%d calls for %d messages, %+v", calls, n, s.Counts)
	if s.Counts.Parked+s.Counts.Failed > 0 || s.Counts.Connects < 5 {
		t.Errorf("%+v", s.Counts)
	}
}
