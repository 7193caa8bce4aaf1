package admin

import (
	"encoding/json"
	"strings"
	"testing"

	"zatoha/lb/state"
)

func TestParityIsInTheStatusAndTheMetrics(t *testing.T) {
	f := busy()
	held := &f.report.Pool.Slots[1].Member
	held.Mode = state.Out
	f.report.Parity = state.Parity{
		Policy: state.HoldParity, Majority: "a", Groups: []state.ServicesGroup{{Services: "a", Servers: 2}, {Services: "b", Servers: 1}},
		Differing: []state.Differing{{Key: held.Key, ID: held.ID, Services: "b", Held: true}},
	}
	var s Status
	if err := json.Unmarshal(f.at(t, "/status").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Slots[0].Held || !s.Slots[1].Held || s.Parity.Majority != "a" || len(s.Parity.Groups) != 2 || s.State != AtRisk {
		t.Errorf("%+v", s)
	}
	if want := "1 server is held for other services"; !strings.Contains(s.Summary, want) || s.failing() != 0 {
		t.Errorf("%s; %d fail", s.Summary, s.failing())
	}
	_, body := f.get(t, "/metrics")
	for _, line := range []string{
		`zatoha_lb_servers_differing{held="true"} 1`, `zatoha_lb_servers_differing{held="false"} 0`, "zatoha_lb_services_majority 1",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	f.report.Parity = state.Parity{}
	if body := f.at(t, "/status").Body.String(); !strings.Contains(body, `"differing": []`) && !strings.Contains(body, `"differing":[]`) {
		t.Errorf("%s", body)
	}
}
