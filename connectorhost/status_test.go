package main

import (
	"strings"
	"testing"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
)

func TestTheStatusIsHealthyOnlyIfAllIsWell(t *testing.T) {
	well := func(host string) report {
		return report{
			Host: host, Held: true, Holder: consul.Holder{Host: "host-a"},
			Connectors: []supervise.Status{{Name: "orders", State: supervise.Running}, {Name: "bills", State: supervise.Running}},
		}
	}
	for _, c := range []struct {
		what   string
		change func(asked, active *report)
		want   string // in the error
		shown  string
	}{
		{"all is well", func(_, _ *report) {}, "", ""},
		{"the host asked has no lease's beat", func(asked, _ *report) { asked.Error = "no quorum" }, "not healthy: no quorum", "! no quorum\n"},
		{"the active host fails to keep the lease", func(_, active *report) { active.Error = "403" }, "not healthy: host-a: 403", "! host-a: 403\n"},
		{"nobody is active", func(asked, _ *report) { asked.Held = false }, "no host is active", "NO HOST IS ACTIVE"},
		{"a definition is refused", func(_, active *report) { active.Refused = []refusal{{Name: "x", Reason: "kind"}} }, "1 definitions are refused", "refused: x: kind\n"},
		{"a connector is not there", func(_, active *report) { active.Connectors[1].State = supervise.Connecting }, "connector bills is connecting", "connecting"},
		{"a connector is held up", func(_, active *report) { active.Connectors[1].Why = "no server" }, "not healthy: connector bills: no server", "no server\n"},
	} {
		asked, active := well("host-b"), well("host-a")
		c.change(&asked, &active)
		err := ailment(asked, active)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if text := statusText(asked, active); !strings.Contains(text, c.shown) {
			t.Errorf("%s: no %q in\n%s", c.what, c.shown, text)
		}
	}
	alone := well("host-a")
	alone.Error = "no quorum"
	if text := statusText(alone, alone); strings.Count(text, "no quorum") != 1 {
		t.Errorf("the error of the one that was asked, and is active, is not there once in\n%s", text)
	}
}
