package outgoing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"zatoha/connectorhost/zmtp"
	"zatoha/consul"
	"zatoha/deploy/consultest"
	"zatoha/server/service"
)

// trees observes what a test wants, and calls between.
type trees struct {
	observations []consul.TreeObservation
	then         func(i int)
}

func (w trees) WatchTree(_ context.Context, _ string, observe func(consul.TreeObservation)) {
	for i, o := range w.observations {
		observe(o)
		w.then(i)
	}
}

// refusals are why definitions are not in force, by name.
func refusals(s *Set) map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.refused)
}

func TestTheLastGoodDefinitionStays(t *testing.T) {
	const prefix = "zato/main/connectors/"
	text := func(name, role, address string) string {
		return fmt.Sprintf(`{"name": %q, "kind": "zmq", "role": %q, "socket_type": "PUB", "socket_method": "connect", "address": %q}`, name, role, address)
	}
	tree := func(keysAndValues ...string) (o consul.TreeObservation) {
		for i := 0; i < len(keysAndValues); i += 2 {
			o.Pairs = append(o.Pairs, consul.Pair{Key: prefix + keysAndValues[i], Found: true, Value: []byte(keysAndValues[i+1])})
		}
		return o
	}
	const a, b = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"
	steps := []struct {
		tree    consul.TreeObservation
		want    string // name and address of each connection
		refused string // part of the reasons
	}{
		{tree(), "", ""},
		{tree("news", text("news", "outgoing", a), "orders", `{"kind": "amqp", "role": "outgoing"}`, "ticks", `{"kind": "zmq", "role": "channel"}`, "x", "]"), "news " + a, ""},
		{tree("news", text("news", "outgoing", b)), "news " + b, ""},
		{tree("news", text("news", "outgoing", "ipc://x")), "news " + b, "news: connector \"news\": address is of no use"},
		{consul.TreeObservation{Err: errors.New("no leader")}, "news " + b, "address is of no use"},
		{tree("news", "{"), "news " + b, "news: connector: is no JSON"},
		{tree("news", text("olds", "outgoing", a)), "news " + b, "name is olds, but the key ends with news"},
		{tree("news", text("news", "outgoing", a), "fixed", text("fixed", "outgoing", b)), "fixed " + b + ", news " + a, ""},
		{tree("new", text("new", "outgoing", "x")), "", "new: connector \"new\": address is of no use"},
		{tree("news", text("news", "channel", a)), "", ""},
	}
	s := newSet(t, Config{})
	w := trees{then: func(i int) {
		var have, refused []string
		for name, socket := range s.sockets {
			have = append(have, name+" "+socket.settings.Addresses[0])
		}
		slices.Sort(have)
		for name, why := range refusals(s) {
			refused = append(refused, name+": "+why)
		}
		if got := strings.Join(have, ", "); got != steps[i].want {
			t.Errorf("step %d: %s, want %s", i, got, steps[i].want)
		}
		if got := strings.Join(refused, ", "); !strings.Contains(got, steps[i].refused) || steps[i].refused == "" && got != "" {
			t.Errorf("step %d: refused are %s, want %s", i, got, steps[i].refused)
		}
	}}
	for _, step := range steps {
		w.observations = append(w.observations, step.tree)
	}
	s.FollowDefinitions(t.Context(), w, prefix)
}

func TestDefinitionsAreTakenFromConsul(t *testing.T) {
	agent := consultest.Start(t)
	client, err := consul.New(agent.Address())
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "zato/main/connectors/"
	s := newSet(t, Config{})
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { s.FollowDefinitions(ctx, client, prefix) })
	defer following.Wait()
	defer stop()
	pull := receiver(t, zmtp.Options{Type: zmtp.Pull})
	value := fmt.Sprintf(`{"name": "work", "kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": %q}`, pull.Addr())
	if err := client.Put(t.Context(), prefix+"work", []byte(value)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.Outgoing("zmq", "work") != nil })
	if err := sendZMQ(t, s, "work", service.Message{Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if got := received(t, pull); got != "x" {
		t.Errorf("got %q", got)
	}
	if err := client.Put(t.Context(), prefix+"work", []byte(`{"kind": "zmq", "role": "outgoing"}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(refusals(s)) == 1 })
	if why := refusals(s)["work"]; !strings.Contains(why, "name is missing; socket_type is missing") || s.Outgoing("zmq", "work") == nil {
		t.Errorf("refused for %q", why)
	}
	if err := client.Delete(t.Context(), prefix+"work"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.Outgoing("zmq", "work") == nil })
}
