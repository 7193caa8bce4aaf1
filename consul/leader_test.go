package consul

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An agent goes on answering a watch from what it was told last, or holds it, while Consul has no leader.
func TestAWatchTellsThatConsulHasNoLeader(t *testing.T) {
	for _, test := range []struct {
		name   string
		leader http.HandlerFunc
		says   string
	}{
		{"no leader", says(http.StatusOK, `""`), ErrNoLeader.Error()},
		{"an agent without servers", says(http.StatusInternalServerError, "No known Consul servers"), "No known Consul servers"},
		{"a frozen agent", hangs, "deadline exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			elected := says(http.StatusOK, `"127.0.0.1:8300"`)
			indexes := make(chan string, 1000)
			watched := inTurn(says(http.StatusOK, oneInstance, "X-Consul-Index: 50"), hangs)
			client := stub{
				"GET /v1/status/leader": inTurn(elected, test.leader, test.leader, elected),
				"GET /v1/health/service/web": func(w http.ResponseWriter, r *http.Request) {
					indexes <- r.URL.Query().Get("index")
					watched(w, r)
				},
			}.client(t)
			client.wait = time.Minute
			observations := startWatchBy(t, client.WatchClosely)
			first := next(t, observations)
			if first.Err != nil {
				t.Fatal(first.Err)
			}
			for range 2 {
				if o := next(t, observations); o.Err == nil || !strings.Contains(o.Err.Error(), test.says) || o.Snapshot.Instances != nil {
					t.Errorf("observed %+v, want %q", o, test.says)
				}
			}
			if o := next(t, observations); o.Err != nil || o.Snapshot.Index != first.Snapshot.Index || len(o.Snapshot.Instances) != 1 {
				t.Errorf("observed %+v when it was over", o)
			}
			if n := len(indexes); n != 2 {
				t.Errorf("the watch asked %d times, want 2: it goes on as it was", n)
			}
		})
	}
}

func TestAWatchThatFailsTellsWhyByItself(t *testing.T) {
	var seen []Observation
	o := overseer{observe: func(o Observation) { seen = append(seen, o) }}
	away, leaderless := errors.New("away"), errors.New("no leader")
	some := Observation{Snapshot: Snapshot{Index: 7}}
	o.asked(leaderless) // before anything was observed
	o.saw(Observation{Err: away})
	o.asked(leaderless)
	o.asked(nil)
	o.saw(some)
	o.asked(nil)
	o.asked(leaderless)
	o.saw(Observation{Err: away})
	o.asked(nil)
	o.saw(some)
	want := []Observation{{Err: away}, some, {Err: leaderless}, {Err: away}, some}
	if len(seen) != len(want) {
		t.Fatalf("observed %+v", seen)
	}
	for i := range want {
		if seen[i].Err != want[i].Err || seen[i].Snapshot.Index != want[i].Snapshot.Index {
			t.Errorf("observed %+v, want %+v", seen[i], want[i])
		}
	}
}
