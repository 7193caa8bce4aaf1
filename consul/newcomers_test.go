package consul

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// answerOf is Consul's answer with n passing instances, w-01 on n-01 and so on, and others.
func answerOf(n int, others ...Instance) string {
	var all []*api.ServiceEntry
	for _, i := range append(passing(n), others...) {
		all = append(all, &api.ServiceEntry{
			Node:    &api.Node{Node: i.Node, Address: "10.0.0.1"},
			Service: &api.AgentService{ID: i.ID, Service: "web", Port: 80},
			Checks:  api.HealthChecks{{CheckID: "c", Status: string(cmp.Or(i.Status, Passing))}},
		})
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func passing(n int) (all []Instance) {
	for i := range n {
		all = append(all, Instance{Node: fmt.Sprintf("n-%02d", i+1), ID: fmt.Sprintf("w-%02d", i+1), Status: Passing})
	}
	return all
}

// twoQuestions is a Consul that answers differently for all instances and for newcomers.
func twoQuestions(t *testing.T, all, newcomers http.HandlerFunc) *Client {
	return stub{"GET /v1/health/service/web": func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("filter") {
			newcomers(w, r)
			return
		}
		all(w, r)
	}}.client(t)
}

func index(i int) string { return fmt.Sprintf("X-Consul-Index: %d", i) }

func expect(t *testing.T, observations <-chan Observation, index uint64, ids ...string) {
	t.Helper()
	o := next(t, observations)
	var found []string
	for _, i := range o.Snapshot.Instances {
		if i.Node > "n-20" {
			found = append(found, i.ID)
		}
	}
	if o.Err != nil || o.Snapshot.Index != index || len(o.Snapshot.Instances) != 20+len(ids) || !slices.Equal(found, ids) {
		t.Errorf("observed index %d, %d instances, beside the twenty %q, %v; want index %d, %q",
			o.Snapshot.Index, len(o.Snapshot.Instances), found, o.Err, index, ids)
	}
}

func TestANewcomerIsObservedBeforeTheRest(t *testing.T) {
	x, y := Instance{Node: "x", ID: "x"}, Instance{Node: "y", ID: "y"}
	client := twoQuestions(t,
		inTurn(says(http.StatusOK, answerOf(20), index(50)), says(http.StatusOK, answerOf(20, x, y), index(52)), hangs),
		inTurn(says(http.StatusOK, answerOf(0, x), index(51)), hangs))
	observations := startWatch(t, client)
	expect(t, observations, 50)
	expect(t, observations, 51, "x")
	expect(t, observations, 52, "x", "y")
}

func TestAnInstanceThatPassesNowIsANewcomer(t *testing.T) {
	x := Instance{Node: "x", ID: "x", Status: Critical}
	well := x
	well.Status = Passing
	client := twoQuestions(t,
		inTurn(says(http.StatusOK, answerOf(20, x), index(50)), hangs),
		inTurn(says(http.StatusOK, answerOf(0, well), index(51)), hangs))
	observations := startWatch(t, client)
	expect(t, observations, 50, "x")
	o := next(t, observations)
	if i := o.Snapshot.Instances; len(i) != 21 || i[20].Status != Passing {
		t.Errorf("observed %+v", o)
	}
}

func TestWhateverComesOfAskingForNewcomersAllAreAskedFor(t *testing.T) {
	for name, newcomers := range map[string]http.HandlerFunc{
		"refused":             says(http.StatusBadRequest, "Failed to create boolean expression evaluator"),
		"broken":              breaks,
		"not JSON":            says(http.StatusOK, "<html>", index(51)),
		"something else":      says(http.StatusOK, "[]", index(51)),
		"Consul was restored": says(http.StatusOK, "[]", index(40)),
	} {
		t.Run(name, func(t *testing.T) {
			client := twoQuestions(t,
				inTurn(says(http.StatusOK, answerOf(20), index(50)), says(http.StatusOK, answerOf(20, Instance{Node: "x", ID: "x"}), index(51)), hangs),
				inTurn(newcomers, hangs))
			observations := startWatch(t, client)
			expect(t, observations, 50)
			expect(t, observations, 51, "x")
		})
	}
}

// A Consul that says nothing any more is found out after the time of one question, not of two.
func TestASilentConsulIsFoundOutByTheFirstQuestion(t *testing.T) {
	client := twoQuestions(t, inTurn(says(http.StatusOK, answerOf(20), index(50)), func(http.ResponseWriter, *http.Request) {
		t.Error("all are asked for while Consul is silent")
	}), hangs)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []Observation
	client.Watch(ctx, "web", func(o Observation) {
		if seen = append(seen, o); len(seen) == 2 {
			cancel()
		}
	})
	if seen[0].Err != nil || !errors.Is(seen[1].Err, context.DeadlineExceeded) {
		t.Errorf("observed %v, %v", seen[0].Err, seen[1].Err)
	}
}

func TestNothingIsObservedWhileNothingChanges(t *testing.T) {
	asked := make(chan struct{}, 100)
	over := says(http.StatusOK, "[]", index(50))
	client := twoQuestions(t,
		says(http.StatusOK, answerOf(20), index(50)),
		inTurn(over, over, func(_ http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-r.Context().Done()
		}))
	observations := startWatch(t, client)
	expect(t, observations, 50)
	next(t, asked)
	if len(observations) > 0 {
		t.Errorf("observed %+v", <-observations)
	}
}

// Each filter leaves the agent with more to follow.
func TestNotTooManyFiltersAreAskedBy(t *testing.T) {
	now := time.Now()
	large := func(i int) string { return strings.Repeat("x", maxFollowed/4-1) + strconv.Itoa(i) }
	f := filters{}
	for i := range 4 {
		if !f.may(large(i), now) {
			t.Fatalf("the filter %d is one too many", i)
		}
		f[large(i)] = now.Add(time.Duration(i) * time.Minute)
	}
	if f.may("y", now) {
		t.Error("there is none too many")
	}
	if !f.may(large(2), now) {
		t.Error("one that the agent follows in any case is too many")
	}
	if later := now.Add(followed + time.Minute); f.may(large(1)+"y", later) || !f.may(large(4), later) {
		t.Error("one that is forgotten makes room for more or less than one")
	}

	many := filters{}
	for i := range maxFilters {
		many[strconv.Itoa(i)] = now
	}
	if many.may("y", now) || !many.may("1", now) {
		t.Error("so many short ones make room for another, or are too many themselves")
	}

	client := twoQuestions(t, inTurn(says(http.StatusOK, answerOf(20), index(50)), says(http.StatusOK, answerOf(21), index(51))), func(http.ResponseWriter, *http.Request) {
		t.Error("newcomers were asked for")
	})
	f[large(4)] = now
	q := serviceQuery{client: client, service: "web", filters: f}
	for i, want := range []int{20, 21} {
		if state, _, err := q.ask(t.Context(), uint64(50*i)); err != nil || len(state.Instances) != want {
			t.Errorf("%d instances, %v; want %d", len(state.Instances), err, want)
		}
	}
}

// Where it is urgent, who is asked for newcomers is who knows first, unless that is too much to ask.
func TestNewcomersAreAskedForWhereTheyAreKnownFirst(t *testing.T) {
	for n, want := range map[int]string{maxDirect - 1: "_agent", maxDirect: ""} {
		asked := make(chan string, 2)
		near := func(w http.ResponseWriter, r *http.Request) { asked <- r.URL.Query().Get("near") }
		client := twoQuestions(t, says(http.StatusOK, answerOf(n), index(50)), func(w http.ResponseWriter, r *http.Request) {
			near(w, r)
			hangs(w, r)
		})
		observations := startWatchBy(t, client.WatchClosely)
		if o := next(t, observations); o.Err != nil || len(o.Snapshot.Instances) != n {
			t.Errorf("observed %+v", o)
		}
		if got := next(t, asked); got != want {
			t.Errorf("of %d instances newcomers are asked for near %q, want %q", n, got, want)
		}
	}
}

func TestAskingForNewcomers(t *testing.T) {
	named := func(ids ...string) (instances []Instance) {
		for _, id := range ids {
			instances = append(instances, Instance{Node: "n", ID: id, Status: Passing})
		}
		return instances
	}
	many := func(n int, id string) []Instance {
		all := passing(n)
		for i := range all {
			all[i].ID += id
		}
		return all
	}
	ailing := passing(60)
	for i := range ailing[:maxUnsettled+1] {
		ailing[i].Status = Critical
	}
	for name, test := range map[string]struct {
		instances []Instance
		asks      bool
	}{
		"none":                 {nil, false},
		"three":                {passing(3), false},
		"a hundred":            {passing(99), true},
		"most are ailing":      {ailing, false},
		"one fewer is ailing":  {ailing[1:], true},
		"five thousand":        {many(5000, "-of-a-service"), true},
		"too long for one URL": {many(5000, strings.Repeat("long", 20)), false},
	} {
		if filter := notPassing(test.instances); (filter != "") != test.asks {
			t.Errorf("%s: %.100q", name, filter)
		}
	}
	strange := slices.Repeat(named("a", "a.1", "a`|"), 6)
	want := "Service.ID not matches `^(?:" + strings.TrimSuffix(strings.Repeat(`a|a\.1|a\x60\||`, 6), "|") + ")$` or Node.Node not matches `^(?:n)$`"
	if filter := notPassing(strange); filter != want {
		t.Errorf("filter %s, want %s", filter, want)
	}
}
