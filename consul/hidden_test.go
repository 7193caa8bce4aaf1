package consul

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"
)

// An agent's answer to a question with an index does not tell that it leaves something out. So many do not pass that
// nobody asks for newcomers.
func TestWhatATokenMayNotReadAnyMoreIsNotTakenForRemoved(t *testing.T) {
	const many = 2 + maxUnsettled + 1
	all := answerOf(2, slices.Repeat([]Instance{{Node: "n-03", ID: "w-03", Status: Critical}}, maxUnsettled+1)...)
	hidden := says(http.StatusOK, "[]", index(52), "X-Consul-LastContact: 0", "X-Consul-Results-Filtered-By-ACLs: true")
	away := says(http.StatusInternalServerError, "No cluster leader")
	for name, test := range map[string]struct {
		index   int              // of the answer that lacks them
		between http.HandlerFunc // before Consul says that it hides something
	}{
		"with another change":       {51, nil},
		"while Consul is away":      {51, away},
		"without another change":    {50, nil},
		"and then, Consul was away": {50, away},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := []http.HandlerFunc{says(http.StatusOK, all, index(50)), says(http.StatusOK, "[]", index(test.index))}
			if test.between != nil {
				answers = append(answers, test.between)
			}
			answers = append(answers, hidden, hidden, says(http.StatusOK, all, index(53)), hangs)
			client := stub{"GET /v1/health/service/web": inTurn(answers...)}.client(t)
			client.wait = time.Minute
			observations := startWatch(t, client)
			is := func(index uint64, instances int) {
				t.Helper()
				if o := next(t, observations); o.Err != nil || o.Snapshot.Index != index || len(o.Snapshot.Instances) != instances {
					t.Errorf("observed %+v, want index %d, %d instances", o, index, instances)
				}
			}
			is(50, many)
			if test.index > 50 {
				is(51, 0)
			}
			if test.between != nil {
				if o := next(t, observations); o.Err == nil || errors.Is(o.Err, errHidden) {
					t.Errorf("observed %+v", o)
				}
			}
			if test.index > 50 || test.between != nil {
				is(50, many)
			}
			if o := next(t, observations); !errors.Is(o.Err, errHidden) {
				t.Errorf("observed %+v", o)
			}
			is(53, many)
		})
	}
}

// Where it is urgent and there are few, Consul's servers are asked, who tell it with each answer.
func TestWhatATokenMayNotReadAnyMoreIsToldAtOnceByConsulsServers(t *testing.T) {
	hidden := says(http.StatusOK, "[]", index(51), "X-Consul-LastContact: 0", "X-Consul-Results-Filtered-By-ACLs: true")
	answers := inTurn(says(http.StatusOK, answerOf(2), index(50)), hidden, hangs)
	client := stub{"GET /v1/health/service/web": func(w http.ResponseWriter, r *http.Request) {
		if near := r.URL.Query().Get("near"); near != "_agent" {
			t.Errorf("the agent itself is asked: near is %q", near)
		}
		answers(w, r)
	}}.client(t)
	client.wait = time.Minute
	observations := startWatchBy(t, client.WatchClosely)
	if o := next(t, observations); o.Err != nil || len(o.Snapshot.Instances) != 2 {
		t.Errorf("observed %+v", o)
	}
	if o := next(t, observations); !errors.Is(o.Err, errHidden) {
		t.Errorf("observed %+v", o)
	}
}

// With many instances only newcomers are asked for, and there are none.
func TestATokenThatMayReadNothingIsToldWhereNothingChanges(t *testing.T) {
	hidden := says(http.StatusOK, "[]", index(50), "X-Consul-LastContact: 0", "X-Consul-Results-Filtered-By-ACLs: true")
	observations := startWatch(t, twoQuestions(t, inTurn(says(http.StatusOK, answerOf(20), index(50)), hidden), says(http.StatusOK, "[]", index(50))))
	expect(t, observations, 50)
	if o := next(t, observations); !errors.Is(o.Err, errHidden) {
		t.Errorf("observed %+v", o)
	}
}

func TestOnlyWhoCouldTakeTrafficIsMissed(t *testing.T) {
	before := Snapshot{Instances: passing(3)}
	before.Instances[0].Status, before.Instances[1].Status = Critical, Maintenance
	for n, want := range []bool{true, true, true, false} { // of the first n
		if got := before.loses(Snapshot{Instances: passing(n)}); got != want {
			t.Errorf("with %d left: %t", n, got)
		}
	}
	if before.loses(Snapshot{Instances: before.Instances[2:]}) {
		t.Error("who could take no traffic is missed")
	}
}
