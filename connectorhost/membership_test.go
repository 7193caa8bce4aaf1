package main

import (
	"strings"
	"testing"
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
