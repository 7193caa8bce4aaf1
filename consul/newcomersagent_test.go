package consul_test

import (
	"context"
	"fmt"
	"testing"

	"zatoha/consul"
	"zatoha/deploy/consultest"
)

// Whatever IDs look like, Consul understands the question for newcomers, and none that was observed vanishes again: what
// is told early is never taken back by what was written down before.
func TestNewcomersAmongManyStayInConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	client := newClient(t, agent)
	ids := make([]string, 60)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s %d", []string{"plain", "a.b", "a+b|c", "`tick`", `"quoted"`, `back\slash`, "(?:", "grün", "^$", "a%20&b=c#d"}[i%10], i)
	}
	register := func(id string) {
		registerForeign(t, agent, fmt.Sprintf(`{"ID": %q, "Name": %q, "Address": "10.0.0.1", "Port": 80}`, id, serviceName))
	}
	for _, id := range ids[:30] {
		register(id)
	}
	observations := watchService(t, client)
	await(t, "thirty instances", observations, func(o consul.Observation) bool { return len(o.Snapshot.Instances) == 30 })
	seen := map[string]bool{}
	for _, id := range ids[30:] {
		register(id)
		await(t, id, observations, func(o consul.Observation) bool {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			now := map[string]bool{}
			for _, i := range o.Snapshot.Instances {
				now[i.ID], seen[i.ID] = true, true
			}
			for id := range seen {
				if !now[id] {
					t.Fatalf("%q was observed, and is gone", id)
				}
			}
			return now[id]
		})
	}
	early, err := client.Newcomers(context.Background(), serviceName, ids[:59])
	if err != nil || len(early) != 1 || early[0] != ids[59] {
		t.Errorf("beside 59 there are %q, %v", early, err)
	}
}
