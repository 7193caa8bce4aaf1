package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTTLChecksThatAreNotValid(t *testing.T) {
	r := Registration{ID: "h1", Name: "host", TTLs: []TTLCheck{
		{ID: "a", TTL: time.Second},
		{ID: "a", TTL: time.Second},
		{TTL: -1, DeregisterCriticalAfter: -1, InitialStatus: Maintenance},
	}}
	err := r.Validate()
	for _, fault := range []string{
		`TTLs[1].ID is "a" again`, "TTLs[2].ID is empty", "TTLs[2].TTL is not", "TTLs[2].DeregisterCriticalAfter", `TTLs[2].InitialStatus is "maintenance"`,
	} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v does not contain %q", err, fault)
		}
	}
}

// A registration that changes takes its old checks with it, and those of an earlier process, but no maintenance.
func TestARegistrationThatChangesLeavesNoChecksBehind(t *testing.T) {
	said, hold := make(chan string, 100), make(chan struct{})
	register := func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Tags   []string
			Checks []struct{ CheckID, TTL, Status, DeregisterCriticalServiceAfter string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		said <- fmt.Sprint("register ", body)
	}
	remove := func(_ http.ResponseWriter, r *http.Request) { said <- r.URL.Path }
	client := stub{
		"PUT /v1/agent/service/register": register,
		"GET /v1/agent/checks": func(w http.ResponseWriter, r *http.Request) {
			if filter := r.URL.Query().Get("filter"); filter != `ServiceID == "h1"` {
				t.Errorf("filter %q", filter)
			}
			says(http.StatusOK, `{"lease-1": {}, "lease-2": {}, "_service_maintenance:h1": {}}`)(w, r)
		},
		"PUT /v1/agent/check/deregister/lease-1": remove,
		"PUT /v1/agent/check/deregister/lease-2": remove,
		"GET /v1/agent/service/h1":               func(_ http.ResponseWriter, r *http.Request) { <-hold },
	}.client(t)
	client.timeout, client.wait = time.Minute, time.Minute
	changes := make(chan Registration)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	reports := make(chan error, 100)
	go func() { done <- client.KeepRegisteredAs(ctx, changes, func(err error) { reports <- err }) }()

	r := Registration{ID: "h1", Name: "host", Tags: []string{"standby"}, TTLs: []TTLCheck{{ID: "lease-1", TTL: time.Second, DeregisterCriticalAfter: time.Minute}}}
	changes <- r
	for _, want := range []string{"register {[standby] [{lease-1 1s critical 1m0s}]}", "/v1/agent/check/deregister/lease-2"} {
		if got := next(t, said); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	if err := next(t, reports); err != nil {
		t.Error(err)
	}
	r.Tags, r.TTLs = []string{"active"}, []TTLCheck{{ID: "lease-2", TTL: time.Second, InitialStatus: Warning}}
	changes <- r
	for _, want := range []string{"register {[active] [{lease-2 1s warning }]}", "/v1/agent/check/deregister/lease-1"} {
		if got := next(t, said); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	if len(reports) != 0 {
		t.Errorf("a change that succeeded was reported: %v", <-reports)
	}
	r.ID = ""
	changes <- r
	if err := next(t, done); err == nil || !strings.Contains(err.Error(), "ID is empty") {
		t.Errorf("a change that is not valid: %v", err)
	}
	cancel()
	close(hold)
}

func TestKeepRegisteredAsEndsBeforeItHasAnything(t *testing.T) {
	client := stub{}.client(t)
	if err := client.KeepRegisteredAs(cancelled(t), nil, func(error) {}); err != nil {
		t.Error(err)
	}
}

func TestSetCheck(t *testing.T) {
	client := stub{
		"PUT /v1/agent/check/update/a": func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Status, Output string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Status != "warning" || body.Output != "slow" {
				t.Errorf("%+v, %v", body, err)
			}
		},
		"PUT /v1/agent/check/update/b": says(http.StatusNotFound, "Unknown check ID"),
	}.client(t)
	if err := client.SetCheck(t.Context(), "a", Warning, "slow"); err != nil {
		t.Error(err)
	}
	if err := client.SetCheck(t.Context(), "b", Passing, ""); err == nil || !strings.Contains(err.Error(), `set check "b"`) {
		t.Errorf("error %v", err)
	}
}
