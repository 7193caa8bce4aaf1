package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/hashicorp/consul/api"
	"pgregory.net/rapid"
)

func entry(node, id string, checks ...*api.HealthCheck) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node:    &api.Node{Node: node, Address: "10.0.0.1"},
		Service: &api.AgentService{ID: id, Service: "web", Port: 80},
		Checks:  checks,
	}
}

func TestInstanceStatus(t *testing.T) {
	check := func(id, status string) *api.HealthCheck { return &api.HealthCheck{CheckID: id, Status: status} }
	for _, test := range []struct {
		name   string
		checks []*api.HealthCheck
		want   Status
	}{
		{"no check", nil, Passing},
		{"the worst counts", []*api.HealthCheck{check("a", "passing"), check("b", "critical"), check("c", "warning")}, Critical},
		{"warning", []*api.HealthCheck{check("a", "passing"), check("b", "warning")}, Warning},
		{"service maintenance", []*api.HealthCheck{check("a", "passing"), check("_service_maintenance:1", "critical")}, Maintenance},
		{"node maintenance", []*api.HealthCheck{check("_node_maintenance", "critical"), check("a", "critical")}, Maintenance},
		{"a status of the future", []*api.HealthCheck{check("a", "passing"), check("b", "sleepy")}, Critical},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := newInstance(entry("n", "1", test.checks...)).Status; got != test.want {
				t.Errorf("status is %q, want %q", got, test.want)
			}
		})
	}
}

func TestInstanceAddress(t *testing.T) {
	for _, test := range []struct{ node, service, want string }{
		{"10.0.0.1", "10.0.0.2", "10.0.0.2:80"},
		{"10.0.0.1", "", "10.0.0.1:80"},
		{"2001:db8::1", "", "[2001:db8::1]:80"},
		{"10.0.0.1", "::1", "[::1]:80"},
		{"10.0.0.1", "[::1]", "[::1]:80"},
		{"10.0.0.1", "web.example", "web.example:80"},
	} {
		e := entry("n", "1")
		e.Node.Address, e.Service.Address = test.node, test.service
		if got := newInstance(e).HostPort(); got != test.want {
			t.Errorf("node %q and service %q give %q, want %q", test.node, test.service, got, test.want)
		}
	}
}

func TestMalformedEntriesAreAnError(t *testing.T) {
	for name, bad := range map[string]*api.ServiceEntry{
		"no node": {Service: &api.AgentService{}}, "no service": {Node: &api.Node{}}, "an empty check": entry("n", "1", nil),
	} {
		if _, err := decoded([]*api.ServiceEntry{entry("n", "1"), bad}); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decoded([]*api.ServiceEntry{entry("n", "1"), nil}); !errors.Is(err, errNoArray) {
		t.Errorf("nil: %v", err)
	}
}

// decoded are the instances of an answer with these entries.
func decoded(answer []*api.ServiceEntry) ([]Instance, error) {
	text, err := json.Marshal(append([]*api.ServiceEntry{}, answer...)) // none is [], not null
	if err != nil {
		return nil, err
	}
	return new(entries).decode(bytes.NewReader(text))
}

// Whatever differs between two instances, they are not equal.
func TestEveryFieldMakesAnInstanceAnother(t *testing.T) {
	whole := func() Instance {
		return Instance{
			Node: "n", ID: "1", Service: "web", Address: "10.0.0.1", Port: 80, Tags: []string{"a"}, Meta: map[string]string{"k": "v"},
			WeightPassing: 1, WeightWarning: 1, Status: Passing, Checks: []Check{{ID: "c"}},
		}
	}
	if !whole().equal(whole()) {
		t.Error("an instance is not equal to itself")
	}
	for i := range reflect.TypeFor[Instance]().NumField() {
		other := whole()
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if whole().equal(other) {
			t.Errorf("the field %s makes no difference", reflect.TypeFor[Instance]().Field(i).Name)
		}
	}
}

// However Consul orders its answer, the snapshot is the same; and no two instances share a key.
func TestInstancesProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.StringMatching(`[ab/%2F]{0,4}`)
		type identity struct{ node, id string }
		identities := rapid.SliceOfDistinct(rapid.Custom(func(r *rapid.T) identity {
			return identity{name.Draw(r, "node"), name.Draw(r, "id")}
		}), rapid.ID[identity]).Draw(r, "identities")

		var entries []*api.ServiceEntry
		for _, i := range identities {
			checks := rapid.Permutation([]*api.HealthCheck{{CheckID: "x"}, {CheckID: "y"}, {CheckID: "z"}}).Draw(r, "checks")
			entries = append(entries, entry(i.node, i.id, checks...))
		}
		one, err := decoded(entries)
		if err != nil {
			r.Fatal(err)
		}
		other, err := decoded(rapid.Permutation(entries).Draw(r, "entries"))
		if err != nil {
			r.Fatal(err)
		}
		if !reflect.DeepEqual(one, other) {
			r.Fatalf("%+v differs from %+v", one, other)
		}
		keys := map[string]bool{}
		for _, instance := range one {
			keys[instance.Key()] = true
		}
		if len(keys) != len(identities) {
			r.Fatalf("%d keys for %d instances", len(keys), len(identities))
		}
	})
}
