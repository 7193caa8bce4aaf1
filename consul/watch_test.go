package consul

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// startWatch watches the service "web" until the test ends.
func startWatch(t *testing.T, client *Client) <-chan Observation {
	return startWatchBy(t, client.Watch)
}

func startWatchBy(t *testing.T, watch func(context.Context, string, func(Observation))) <-chan Observation {
	observations := make(chan Observation, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx, "web", func(o Observation) { observations <- o })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return observations
}

// next fails the test if nothing comes.
func next[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case value := <-ch:
		return value
	case <-time.After(10 * time.Second):
		t.Fatal("nothing within 10 s")
		panic("unreachable")
	}
}

const oneInstance = `[{"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": "w1", "Service": "web", "Port": 80,
	"Weights": {"Passing": 2, "Warning": 1}}, "Checks": [{"CheckID": "c", "Status": "passing", "Output": "fine"}]}]`

func TestWatchQueriesAndConverts(t *testing.T) {
	queries := make(chan string, 1000)
	answers := inTurn(
		says(http.StatusOK, "[]", "X-Consul-Index: 5"),
		says(http.StatusOK, oneInstance, "X-Consul-Index: 8"),
		hangs)
	client := stub{"GET /v1/health/service/web": func(w http.ResponseWriter, r *http.Request) {
		queries <- r.URL.RawQuery
		answers(w, r)
	}}.client(t)
	client.wait = time.Minute
	observations := startWatch(t, client)

	if o := next(t, observations); o.Err != nil || o.Snapshot.Index != 5 || len(o.Snapshot.Instances) != 0 {
		t.Errorf("first observation %+v", o)
	}
	o := next(t, observations)
	if o.Err != nil || o.Snapshot.Index != 8 || o.Snapshot.Service != "web" || len(o.Snapshot.Instances) != 1 {
		t.Fatalf("second observation %+v", o)
	}
	if i := o.Snapshot.Instances[0]; i.Key() != "n1/w1" || i.HostPort() != "10.0.0.1:80" || i.WeightPassing != 2 ||
		i.Status != Passing || len(i.Checks) != 1 || i.Checks[0].Output != "fine" {
		t.Errorf("instance %+v", i)
	}
	for _, want := range []string{"wait=60000ms", "index=5&wait=60000ms", "index=8&wait=60000ms"} {
		if got := next(t, queries); got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
}

// Whatever goes wrong is an error, never an empty snapshot, and the query after it carries no index.
func TestWatchFailures(t *testing.T) {
	good := says(http.StatusOK, oneInstance, "X-Consul-Index: 50")
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		is     error
	}{
		{"error of Consul", says(http.StatusInternalServerError, "No cluster leader"), nil},
		{"rate limited", says(http.StatusTooManyRequests, ""), nil},
		{"not JSON", says(http.StatusOK, "<html>", "X-Consul-Index: 51"), nil},
		{"cut off", says(http.StatusOK, oneInstance[:100], "X-Consul-Index: 51"), nil},
		{"not a Consul", says(http.StatusOK, "[]"), errNoIndex},
		{"hidden by ACLs", says(http.StatusOK, "[]", "X-Consul-Index: 51", "X-Consul-LastContact: 0",
			"X-Consul-Results-Filtered-By-ACLs: true"), errHidden},
		{"malformed", says(http.StatusOK, "[{}]", "X-Consul-Index: 51"), errMalformed},
		{"connection broken", breaks, nil},
		{"connection silent", hangs, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			indexes := make(chan string, 1000)
			answers := inTurn(good, test.answer, good, hangs)
			client := stub{"GET /v1/health/service/web": func(w http.ResponseWriter, r *http.Request) {
				indexes <- r.URL.Query().Get("index")
				answers(w, r)
			}}.client(t)
			observations := startWatch(t, client)

			if o := next(t, observations); o.Err != nil {
				t.Fatal(o.Err)
			}
			o := next(t, observations)
			if o.Err == nil || len(o.Snapshot.Instances) != 0 || (test.is != nil && !errors.Is(o.Err, test.is)) {
				t.Errorf("observed %+v, want error %v", o, test.is)
			}
			t.Log(o.Err)
			if o := next(t, observations); o.Err != nil || len(o.Snapshot.Instances) != 1 {
				t.Errorf("observed %+v after the error", o)
			}
			for _, want := range []string{"", "50", "", "50"} {
				if got := next(t, indexes); got != want {
					t.Errorf("asked with index %q, want %q", got, want)
				}
			}
		})
	}
}
