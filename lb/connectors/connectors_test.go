package connectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zatoha/consul"
)

// fakeConsul says what a test wants, and tells the watcher of it once.
type fakeConsul struct {
	seen   consul.Observation
	status consul.LeaseStatus
	err    error
	reads  atomic.Int64
}

func (f *fakeConsul) Watch(ctx context.Context, _ string, observe func(consul.Observation)) {
	observe(f.seen)
	<-ctx.Done()
}

func (f *fakeConsul) LeaseHolder(_ context.Context, key string) (consul.LeaseStatus, error) {
	f.reads.Add(1)
	if key != "zato/main/connector-server" {
		return consul.LeaseStatus{}, fmt.Errorf("asked for %s", key)
	}
	return f.status, f.err
}

var began = time.Date(2026, 1, 2, 11, 0, 0, 0, time.UTC)

// host is an instance whose lease's check is in a state.
func host(id, address string, status consul.Status, more ...consul.Check) consul.Instance {
	name, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return consul.Instance{
		ID: id, Address: name, Port: n, Meta: map[string]string{"cluster": "main", "version": "v1"}, Status: status,
		Checks: append(more, consul.Check{ID: "service:" + id + ":lease:1f", Name: "lease", Status: status}),
	}
}

func observation(instances ...consul.Instance) consul.Observation {
	return consul.Observation{Snapshot: consul.Snapshot{Instances: instances}}
}

func held(id string) consul.LeaseStatus {
	return consul.LeaseStatus{Held: true, Holder: consul.Holder{Epoch: 7, Host: id, Since: began}}
}

const aReport = `{"host": "b", "connectors": [
	{"name": "orders", "kind": "amqp", "state": "running", "since": "2026-01-02T11:00:00Z", "restarts": 2,
	 "counters": {"received": 12, "failed": 1}, "info": {"role": "channel", "doing": "running", "in_flight": "3", "last_message": "2026-01-02T11:30:00.5Z"}},
	{"name": "held", "kind": "amqp", "state": "running", "why": "no server", "info": {"role": "channel", "doing": "blocked", "in_flight": "x"}},
	{"name": "bad", "kind": "zmq", "state": "failed", "why": "address in use"}],
	"in_servers": [{"name": "prices", "kind": "zmq"}],
	"refused": [{"name": "odd", "reason": "kind is missing", "kept": true}], "unknown": {"is": "ignored"}}`

// answering is a host that answers /connectors.
func answering(t *testing.T, status int, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/connectors" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// looked is what a watcher reports after it has looked once.
func looked(t *testing.T, f *fakeConsul) *Report {
	t.Helper()
	w := New(f, "zato-connectorhost", "main")
	w.observe(f.seen)
	w.look(t.Context())
	return w.Report()
}

func TestTheActiveHostIsAskedHowItsConnectorsDo(t *testing.T) {
	address := answering(t, 200, aReport)
	other := host("x", "10.0.0.9:17110", consul.Passing)
	other.Meta["cluster"] = "another"
	r := looked(t, &fakeConsul{status: held("b"), seen: observation(
		host("c", "10.0.0.3:17110", consul.Critical), host("b", address, consul.Passing), host("a", "10.0.0.1:17110", consul.Passing), other,
	)})
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, fmt.Sprintf("%s %s %s %s", h.ID, h.Role, h.Status, h.Version))
	}
	if want := []string{"a standby passing v1", "b active passing v1", "c away critical v1"}; !slices.Equal(hosts, want) {
		t.Errorf("%q", hosts)
	}
	if r.Lease != (Lease{Known: true, Held: true, Host: "b", Epoch: 7, Since: began}) || r.Error != "" || r.Standing(Standby) != 1 {
		t.Errorf("%+v", r)
	}
	var states []string
	for _, c := range r.Connectors {
		states = append(states, fmt.Sprintf("%s %s %s: %s, %v %v", c.Name, c.Role, c.State, c.Why, c.Well(), c.Failing()))
	}
	want := []string{
		"bad  failed: address in use, false true", "held channel blocked: no server, false false",
		"orders channel running: , true false", "prices outgoing in the servers: , true false",
	}
	if !slices.Equal(states, want) {
		t.Errorf("%q", states)
	}
	orders := r.Connectors[2]
	if orders.Messages() != 12 || orders.InFlight != 3 || orders.Restarts != 2 || !orders.Since.Equal(began) ||
		!orders.LastMessage.Equal(began.Add(30*time.Minute+500*time.Millisecond)) {
		t.Errorf("%+v", orders)
	}
	if len(r.Refused) != 1 || !r.Refused[0].Kept {
		t.Errorf("%+v", r.Refused)
	}
}

func TestConsulsChecksStandInForAHostThatDoesNotAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for address, want := range map[string]string{
		silent.Addr().String():                   "no answer in 900ms from http://",
		gone.Listener.Addr().String():            "connection refused",
		answering(t, 503, "busy"):                "503 Service Unavailable",
		answering(t, 302, ""):                    "302 Found",
		answering(t, 200, "<html>"):              "the answer is none of a connector host",
		answering(t, 200, `{"connectors": "no"`): "the answer is none of a connector host",
	} {
		checks := []consul.Check{
			{ID: "service:b:connector:orders", Status: consul.Critical, Output: "failed: it: broke"},
			{ID: "service:b:connector:bills", Status: consul.Passing, Output: "running"},
			{ID: "service:b:connector:New~3ae7b5c1", Status: consul.Warning},
		}
		r := looked(t, &fakeConsul{status: held("b"), seen: observation(host("b", address, consul.Passing, checks...))})
		if !strings.Contains(r.Error, want) || strings.Count(r.Error, "http://") != 1 {
			t.Errorf("the error is %q, want %q", r.Error, want)
		}
		var states []string
		for _, c := range r.Connectors {
			states = append(states, c.Name+" "+c.State+" "+c.Why)
		}
		if want := []string{"New warning ", "bills running ", "orders failed it: broke"}; !slices.Equal(states, want) {
			t.Errorf("%q", states)
		}
	}
}

func TestALeaseThatCannotBeReadIsAsItWasLast(t *testing.T) {
	f := &fakeConsul{status: held("b"), seen: observation(host("b", answering(t, 200, aReport), consul.Passing))}
	w := New(f, "zato-connectorhost", "main")
	w.observe(f.seen)
	w.look(t.Context())
	f.err = errors.New("no leader")
	w.observe(consul.Observation{Err: f.err})
	w.look(t.Context())
	r := w.Report()
	if r.Lease.Error != "no leader" || !r.Lease.Held || r.Hosts[0].Role != Active || len(r.Connectors) != 4 {
		t.Errorf("%+v", r)
	}
	f.err, f.status = nil, consul.LeaseStatus{}
	w.look(t.Context())
	if r := w.Report(); r.Lease.Held || r.Hosts[0].Role != Standby || len(r.Connectors) != 0 || r.Lease.Error != "" {
		t.Errorf("%+v", r)
	}
}

func TestWithoutConnectorHostsThereIsAReportOnlyIfThereWereSome(t *testing.T) {
	for name, f := range map[string]*fakeConsul{"there never were": {}, "nobody knows": {err: errors.New("permission denied")}} {
		if r := looked(t, f); r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	f := &fakeConsul{status: consul.LeaseStatus{Holder: consul.Holder{Epoch: 7, Host: "b"}}}
	r := looked(t, f)
	if r == nil || len(r.Hosts) != 0 || r.Lease != (Lease{Known: true, Host: "b", Epoch: 7}) {
		t.Errorf("all have gone: %+v", r)
	}
	w := New(f, "zato-connectorhost", "main")
	before := f.reads.Load()
	if w.look(t.Context()); w.Report() != nil || f.reads.Load() != before {
		t.Errorf("before Consul has told of any host: %+v", w.Report())
	}
}

func TestAMaintainedHostIsAway(t *testing.T) {
	one := host("b", "10.0.0.1:1", consul.Passing)
	one.Status = consul.Maintenance
	r := looked(t, &fakeConsul{seen: observation(one)})
	if h := r.Hosts[0]; h.Role != Away || h.Status != consul.Maintenance {
		t.Errorf("%+v", h)
	}
}

func TestARunningWatcherLooksWhenConsulTellsAndEnds(t *testing.T) {
	f := &fakeConsul{status: held("b"), seen: observation(host("b", answering(t, 200, aReport), consul.Passing))}
	w := New(f, "zato-connectorhost", "main")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); w.Report() == nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("nothing is reported")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
