package main

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"zatoha/consul"
)

func TestConnectorsWhoseNamesDifferInCaseHaveChecksOfTheirOwn(t *testing.T) {
	m := &membership{host: &host{settings: settings{ID: "host-a"}}}
	if got := m.connectorCheck("orders"); got != "service:host-a:connector:orders" {
		t.Error(got)
	}
	seen := map[string]string{} // by what Consul makes of the ID
	for _, name := range []string{"orders", "Orders", "ORDERS", "orderS", "bills"} {
		id := m.connectorCheck(name)
		if !strings.HasPrefix(id, "service:host-a:connector:"+name) || id != m.connectorCheck(name) {
			t.Errorf("%s: %s", name, id)
		}
		if other, taken := seen[strings.ToLower(id)]; taken {
			t.Errorf("%s and %s share a check, %s", name, other, id)
		}
		seen[strings.ToLower(id)] = name
	}
}

func TestAHostKnowsNoneOfAnotherClusterInTheSameConsul(t *testing.T) {
	h := newHost(settings{ID: "host-a", Cluster: "one"}, "127.0.0.1:17110", zerolog.Nop())
	of := func(id, cluster string) consul.Instance {
		check := consul.Check{ID: consul.LeaseCheckPrefix(id) + "1", Status: consul.Passing}
		return consul.Instance{ID: id, Meta: map[string]string{consul.ClusterMeta: cluster}, Status: consul.Passing, Checks: []consul.Check{check}}
	}
	h.seen(consul.Observation{Snapshot: consul.Snapshot{Instances: []consul.Instance{of("host-a", "one"), of("host-b", "two"), of("host-c", "")}}})
	h.change(func() { h.tenure = &consul.Tenure{} })
	if err := h.handOver("host-b"); err == nil || !strings.Contains(err.Error(), `there is no connector host "host-b"`) {
		t.Errorf("the connectors are handed over to a host of another cluster: %v", err)
	}
	if hosts := h.report().Hosts; len(hosts) != 2 || hosts[0].ID != "host-a" || hosts[1].ID != "host-c" {
		t.Errorf("%+v", hosts)
	}
}
