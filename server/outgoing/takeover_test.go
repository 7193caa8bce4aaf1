package outgoing

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/deploy/consultest"
	"zatoha/server/service"
)

// TestATakeoverIsFollowedWithTheSameMessageID sends, through a real Consul, while the active host dies and another takes
// over, again and again.
func TestATakeoverIsFollowedWithTheSameMessageID(t *testing.T) {
	agent := consultest.Start(t)
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(t, Config{})
	ctx, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.Follow(ctx, client, "hosts", "main") })
	defer background.Wait()
	defer stop()

	var hosts []*host
	takeOver := func(epoch int) (retire func()) {
		h := newHost(t, says(200, ""))
		hosts = append(hosts, h)
		name, port, _ := net.SplitHostPort(h.address())
		number, _ := strconv.Atoi(port)
		id := fmt.Sprintf("host-%d", epoch)
		life, end := context.WithCancel(ctx)
		background.Go(func() {
			_ = client.KeepRegistered(life, consul.Registration{
				ID: id, Name: "hosts", Address: name, Port: number, Tags: []string{consul.ActiveTag},
				Meta: map[string]string{consul.EpochMeta: strconv.Itoa(epoch)},
			}, func(error) {})
		})
		return func() { // as by kill -9, and its lease runs out
			h.CloseClientConnections()
			h.Listener.Close()
			end()
			if err := client.Deregister(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	}

	var mu sync.Mutex
	var sent []string
	var slowest time.Duration
	sending, enough := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := 0; sending.Err() == nil; i++ {
				id := fmt.Sprintf("%d/%d", sender, i)
				since := time.Now()
				limit, cancel := context.WithTimeout(t.Context(), bound)
				err := s.Outgoing("amqp", "orders").Send(limit, service.Message{ID: id, Payload: []byte(id)})
				cancel()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				sent, slowest = append(sent, id), max(slowest, time.Since(since))
				mu.Unlock()
			}
		})
	}
	served := func() int { return len(hosts[len(hosts)-1].ids()) }
	retire := takeOver(1)
	for epoch := 2; epoch <= 6; epoch++ {
		eventually(t, func() bool { return served() > 20 })
		retire()
		retire = takeOver(epoch)
	}
	eventually(t, func() bool { return served() > 20 })
	enough()
	senders.Wait()
	retire()

	arrived := map[string]bool{}
	repeated := 0
	for _, h := range hosts {
		for _, id := range h.ids() {
			if arrived[id] {
				repeated++
			}
			arrived[id] = true
		}
	}
	t.Logf("%d sent over 5 takeovers, %d of them tried twice, the slowest took %s", len(sent), repeated, slowest)
	if missing := slices.DeleteFunc(sent, func(id string) bool { return arrived[id] }); len(missing) > 0 {
		t.Errorf("said to be sent, and nobody has them: %q", missing)
	}
}
