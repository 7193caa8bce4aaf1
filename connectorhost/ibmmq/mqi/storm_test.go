//go:build ibmmq && cgo

package mqi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/ibmmq/testqm"
)

// TestNothingIsLostInAStorm lets calls fail, connections break and the queue manager restart at random while messages, a
// few of them poison, pass through a channel. Each good one must succeed once, because the channel remembers what
// succeeded; each bad one must be parked once.
func TestNothingIsLostInAStorm(t *testing.T) {
	for _, pool := range []int{1, 4} {
		t.Run(fmt.Sprint("pool of ", pool), func(t *testing.T) {
			storm(t, pool)
		})
	}
}

const (
	stormMessages = 400
	poisonEvery   = 130
	strikes       = 12
)

func storm(t *testing.T, pool int) {
	m := start(t, testqm.Config{})
	var mu sync.Mutex
	succeeded := map[int]int{}
	c := run(t, define(t, connector.Channel, fieldsOf(m), "pool_size", pool), func(message connector.Message) error {
		mu.Lock()
		defer mu.Unlock()
		n := int(binary.BigEndian.Uint32(message.Body))
		if n%poisonEvery == 0 {
			return errors.New("poison")
		}
		succeeded[n]++
		return nil
	})
	done := make(chan struct{})
	var weather sync.WaitGroup
	weather.Go(func() {
		for range strikes {
			strike(t, m, done)
		}
	})
	for i := 1; i <= stormMessages; i++ {
		var id [24]byte
		binary.BigEndian.PutUint32(id[20:], uint32(i))
		m.Put(queueName, id, binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	conformance.Eventually(t, "empty queue", func() bool { return m.Depth(queueName) == 0 })
	close(done)
	weather.Wait()
	conformance.Eventually(t, "empty queue after the storm", func() bool { return m.Depth(queueName) == 0 && c.now().InFlight == 0 })
	mu.Lock()
	defer mu.Unlock()
	for i := 1; i <= stormMessages; i++ {
		if want := min(i%poisonEvery, 1); succeeded[i] != want {
			t.Errorf("message %d succeeded %d times, want %d", i, succeeded[i], want)
		}
	}
	parked := map[uint32]int{}
	for _, message := range m.Take(backoutName) {
		parked[binary.BigEndian.Uint32(message.Body)]++
	}
	for i := uint32(poisonEvery); i <= stormMessages; i += poisonEvery {
		if parked[i] != 1 {
			t.Errorf("poison %d is parked %d times", i, parked[i])
		}
		delete(parked, i)
	}
	if len(parked) > 0 {
		t.Errorf("parked without need: %v", parked)
	}
	t.Logf("%+v", c.now().Counts)
}

// strike does harm after a few milliseconds.
func strike(t *testing.T, m *testqm.Manager, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-time.After(20 * time.Millisecond):
	}
	calls := []string{"MQGET", "MQGET", "MQCMIT", "MQCMIT", "MQCMIT", "MQBACK", "MQPUT"}
	reasons := []int32{2009, 2009, 2003, 2161, 2195, 2102}
	switch n := rand.IntN(20); {
	case n == 0:
		m.Stop()
		if err := m.Start(); err != nil {
			t.Error(err)
		}
	case n <= 2:
		m.Break()
	default:
		call := calls[rand.IntN(len(calls))]
		m.Inject(testqm.Fault{Call: call, Reason: reasons[rand.IntN(len(reasons))], After: call == "MQCMIT" && n%2 == 0})
	}
}
