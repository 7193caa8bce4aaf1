package consul

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

var web = Registration{
	ID: "w1", Name: "web", Port: 80,
	Check: &HTTPCheck{URL: "http://127.0.0.1:80/", Interval: time.Second, InitialStatus: Passing},
}

const webAtAgent = `{"ID": "w1", "Service": "web", "Port": 80, "Weights": {"Passing": 1, "Warning": 1}, "ContentHash": "h1"}`

func TestRegistrationValidate(t *testing.T) {
	if err := web.Validate(); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		name   string
		change func(r *Registration, c *HTTPCheck)
		faults []string
	}{
		{"no check is allowed", func(r *Registration, _ *HTTPCheck) { r.Check = nil }, nil},
		{"empty", func(r *Registration, _ *HTTPCheck) { *r = Registration{} }, []string{"ID is empty", "Name is empty"}},
		{
			"numbers", func(r *Registration, _ *HTTPCheck) { r.Port = 65536 },
			[]string{"Port is 65536"},
		},
		{
			"check", func(_ *Registration, c *HTTPCheck) {
				*c = HTTPCheck{Timeout: -1, DeregisterCriticalAfter: -1, InitialStatus: "good"}
			},
			[]string{"Check.URL", "Check.Interval", "Check.Timeout", "Check.DeregisterCriticalAfter", `Check.InitialStatus is "good"`},
		},
		{"relative URL", func(_ *Registration, c *HTTPCheck) { c.URL = "/zato/ping" }, []string{"Check.URL"}},
		{"unparsable URL", func(_ *Registration, c *HTTPCheck) { c.URL = "http://a b" }, []string{"Check.URL"}},
		{
			"maintenance is no check's status", func(_ *Registration, c *HTTPCheck) { c.InitialStatus = Maintenance },
			[]string{"Check.InitialStatus"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, check := web, *web.Check
			r.Check = &check
			test.change(&r, &check)
			err := stub{}.client(t).KeepRegistered(cancelled(t), r, func(error) {})
			if len(test.faults) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || strings.Count(err.Error(), "\n") != len(test.faults)-1 {
				t.Fatalf("error %v, want %d faults", err, len(test.faults))
			}
			for _, fault := range test.faults {
				if !strings.Contains(err.Error(), fault) {
					t.Errorf("%q does not contain %q", err, fault)
				}
			}
		})
	}
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// startKeeping keeps web registered until stop is called or the test ends.
func startKeeping(t *testing.T, client *Client) (reports <-chan error, stop func()) {
	ch := make(chan error, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := client.KeepRegistered(ctx, web, func(err error) { ch <- err }); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return ch, stop
}

func TestKeepRegistered(t *testing.T) {
	refuses := says(http.StatusBadRequest, "Invalid check")
	hasIt := says(http.StatusOK, webAtAgent)
	changed := says(http.StatusOK, strings.Replace(webAtAgent, "80", "81", 1))
	gone := says(http.StatusNotFound, "unknown service ID: w1")
	accepts := says(http.StatusOK, "")

	for _, test := range []struct {
		name     string
		register []http.HandlerFunc
		service  []http.HandlerFunc
		reports  []string // part of the error; empty: nil
		statuses []string // of the check, in each registration
		hashes   []string // of each query
	}{
		{
			"stays",
			[]http.HandlerFunc{accepts},
			[]http.HandlerFunc{hasIt, hasIt, hangs},
			[]string{""},
			[]string{"passing"},
			[]string{"", "h1", "h1"},
		},
		{
			"refused, then accepted",
			[]http.HandlerFunc{refuses, refuses, breaks, accepts},
			[]http.HandlerFunc{hangs},
			[]string{"Invalid check", "EOF", ""},
			[]string{"passing", "passing", "passing", "passing"},
			[]string{""},
		},
		{
			"gone from a living agent",
			[]http.HandlerFunc{accepts},
			[]http.HandlerFunc{hasIt, gone, hasIt, hangs},
			[]string{"", errGone.Error(), ""},
			[]string{"passing", "critical"},
			[]string{"", "h1", "", "h1"},
		},
		{
			"lost with the agent",
			[]http.HandlerFunc{accepts},
			[]http.HandlerFunc{hasIt, breaks, hasIt, hangs},
			[]string{"", "EOF", ""},
			[]string{"passing", "passing"},
			[]string{"", "h1", "", "h1"},
		},
		{
			"changed",
			[]http.HandlerFunc{accepts},
			[]http.HandlerFunc{hasIt, changed, hasIt, hangs},
			[]string{"", errChanged.Error(), ""},
			[]string{"passing", "passing"},
			[]string{"", "h1", "", "h1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			register, service := inTurn(test.register...), inTurn(test.service...)
			statuses, hashes := make(chan string, 1000), make(chan string, 1000)
			client := stub{
				"PUT /v1/agent/service/register": func(w http.ResponseWriter, r *http.Request) {
					statuses <- checkStatus(t, r)
					register(w, r)
				},
				"GET /v1/agent/service/w1": func(w http.ResponseWriter, r *http.Request) {
					hashes <- r.URL.Query().Get("hash")
					service(w, r)
				},
			}.client(t)
			client.wait = time.Minute
			reports, _ := startKeeping(t, client)
			for _, want := range test.reports {
				err := next(t, reports)
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("reported %v, want %q", err, want)
				}
			}
			for _, want := range test.statuses {
				if got := next(t, statuses); got != want {
					t.Errorf("registered as %q, want %q", got, want)
				}
			}
			for _, want := range test.hashes {
				if got := next(t, hashes); got != want {
					t.Errorf("asked with hash %q, want %q", got, want)
				}
			}
		})
	}
}

// checkStatus reads a registration, and fails the test if it is not web's.
func checkStatus(t *testing.T, r *http.Request) string {
	var body struct {
		ID, Name string
		Port     int
		Check    struct{ CheckID, HTTP, Interval, Status string }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	if r.URL.RawQuery != "" || body.ID != "w1" || body.Name != "web" || body.Port != 80 ||
		body.Check.CheckID != "service:w1" || body.Check.HTTP != web.Check.URL || body.Check.Interval != "1s" {
		t.Errorf("registered %+v with %q", body, r.URL.RawQuery)
	}
	return body.Check.Status
}

// Two programs that fight over one ID must not do so at full speed.
func TestKeepRegisteredFightsSlowly(t *testing.T) {
	registered := make(chan struct{}, 1000)
	client := stub{
		"PUT /v1/agent/service/register": func(http.ResponseWriter, *http.Request) { registered <- struct{}{} },
		"GET /v1/agent/service/w1":       says(http.StatusOK, strings.Replace(webAtAgent, "80", "81", 1)),
	}.client(t)
	startKeeping(t, client)
	start := time.Now()
	for range 5 {
		next(t, registered)
	}
	// Four waits, each at least half of 100, 200, 400, 800 ms.
	if took := time.Since(start); took < 750*time.Millisecond {
		t.Errorf("five registrations within %v", took)
	}
}

// A registration under way when the context ends is completed before KeepRegistered returns: it must not overtake the
// Deregister that follows.
func TestKeepRegisteredCompletesARegistration(t *testing.T) {
	arrived, abandoned := make(chan struct{}), make(chan bool, 1)
	client := stub{"PUT /v1/agent/service/register": func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then, the server does not notice that the client hung up
		close(arrived)
		select {
		case <-r.Context().Done():
			abandoned <- true
		case <-time.After(200 * time.Millisecond):
			abandoned <- false
		}
	}}.client(t)
	client.timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- client.KeepRegistered(ctx, web, func(error) {}) }()
	next(t, arrived)
	cancel()
	if next(t, abandoned) {
		t.Error("the registration was abandoned")
	}
	if err := next(t, done); err != nil {
		t.Error(err)
	}
}

func TestDeregisterAndMaintenanceErrors(t *testing.T) {
	unknown := says(http.StatusNotFound, "Unknown service ID")
	client := stub{
		"PUT /v1/agent/service/deregister/w1":  unknown,
		"PUT /v1/agent/service/deregister/w2":  says(http.StatusForbidden, "Permission denied"),
		"PUT /v1/agent/service/maintenance/w1": unknown,
		"PUT /v1/agent/service/deregister/w3":  hangs,
	}.client(t)
	ctx := t.Context()
	if err := client.Deregister(ctx, "w1"); err != nil {
		t.Errorf("deregister one that is gone: %v", err)
	}
	if err := client.Deregister(ctx, "w2"); err == nil || !strings.Contains(err.Error(), "CONSUL_HTTP_TOKEN") {
		t.Errorf("forbidden: %v", err)
	}
	if err := client.Deregister(ctx, "w3"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hung: %v", err)
	}
	if err := client.SetMaintenance(ctx, "w1", true, ""); err == nil || !strings.Contains(err.Error(), "Unknown service ID") {
		t.Errorf("maintenance of one that is gone: %v", err)
	}
}
