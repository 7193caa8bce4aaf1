package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/consul"
	"zatoha/lb/connectors"
)

// connecting is a cluster with connector hosts, in which all is well.
func connecting() *fake {
	f := busy()
	f.connectors = &connectors.Report{
		Lease: connectors.Lease{Known: true, Held: true, Host: "zato-connectorhost-app1-17110", Epoch: 4711, Since: noon.Add(-3 * time.Hour)},
		Hosts: []connectors.Host{
			{ID: "zato-connectorhost-app1-17110", Address: "10.0.0.11:17110", Version: "v1.4.0", Role: connectors.Active, Status: consul.Passing},
			{ID: "zato-connectorhost-app2-17110", Address: "10.0.0.12:17110", Version: "v1.4.0", Role: connectors.Standby, Status: consul.Passing},
			{ID: "zato-connectorhost-app3-17110", Address: "10.0.0.13:17110", Version: "v1.4.0", Role: connectors.Standby, Status: consul.Passing},
		},
		Connectors: []connectors.Connector{
			{
				Name: "orders", Kind: "amqp", Role: "channel", State: "running", Since: noon.Add(-3 * time.Hour), InFlight: 3,
				LastMessage: noon.Add(-400 * time.Millisecond), Counts: map[string]int64{"received": 1234567, "failed": 12, "parked": 2, "connects": 1},
			},
			{Name: "prices", Kind: "zmq", Role: "outgoing", State: "in the servers"},
			{Name: "telemetry", Kind: "zmq", Role: "channel", State: "running", Since: noon.Add(-2 * time.Minute), Restarts: 1, Counts: map[string]int64{"received": 70, "dropped": 1}},
		},
	}
	return f
}

// disconnecting is one in which nothing of that is.
func disconnecting() *fake {
	f := connecting()
	c := f.connectors
	c.Hosts[0].ID, c.Lease.Host = `<b>host-1`, `<b>host-1`
	c.Hosts[1].Role, c.Hosts[2].Role = connectors.Away, connectors.Away
	c.Hosts[1].Status, c.Hosts[2].Status = consul.Critical, consul.Maintenance
	c.Error = "no answer in 900ms from http://10.0.0.11:17110/connectors"
	c.Connectors[0].State, c.Connectors[0].Why = "failed", "dial tcp 10.0.0.5:5672: <i>connection refused"
	c.Connectors[2].State, c.Connectors[2].Why = "blocked", "no server takes messages"
	c.Refused = []connectors.Refusal{{Name: "odd", Reason: `kind: "smtp": is none`}, {Name: "old", Reason: "url: is missing", Kept: true}}
	return f
}

func TestWhatBreaksTheConnectorsIsSaid(t *testing.T) {
	for name, change := range map[string]func(*connectors.Report){
		"": func(*connectors.Report) {},
		"No connector host is active": func(c *connectors.Report) {
			c.Lease.Held, c.Hosts[0].Role, c.Connectors = false, connectors.Standby, nil
		},
		"The connector hosts' lease cannot be read: no leader":            func(c *connectors.Report) { c.Lease.Error = "no leader" },
		"Connector host zato-connectorhost-app1-17110 does not answer: x": func(c *connectors.Report) { c.Error = "x" },
		"No connector host stands by":                                     func(c *connectors.Report) { c.Hosts = c.Hosts[:1] },
		"Connector orders is failing: why": func(c *connectors.Report) {
			c.Connectors[0].State, c.Connectors[0].Why = "failed", "why"
		},
		"Connector orders is fenced: there is a later epoch": func(c *connectors.Report) {
			c.Connectors[0].State, c.Connectors[0].Why = "fenced", "there is a later epoch"
		},
		"Connector orders is failing": func(c *connectors.Report) { c.Connectors[0].State = "backing off" },
		"Connector orders is not connected: why": func(c *connectors.Report) {
			c.Connectors[0].State, c.Connectors[0].Why = "connecting", "why"
		},
		"Connector orders is held up: why": func(c *connectors.Report) { c.Connectors[0].Why = "why" },
		"2 connectors' definitions are refused": func(c *connectors.Report) {
			c.Refused = []connectors.Refusal{{Name: "a"}, {Name: "b"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := connecting()
			change(f.connectors)
			var s Status
			if err := json.Unmarshal(f.at(t, "/status").Body.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, r := range s.Risks {
				told = append(told, r.What)
			}
			if !s.Healthy || name == "" && (told != nil || s.State != Well) || name != "" && (!slices.Equal(told, []string{name}) || s.State != AtRisk) {
				t.Errorf("%s: %q", s.State, told)
			}
			if leaderless := strings.Contains(s.Summary, "no connector host is active"); leaderless != (name == "No connector host is active") {
				t.Error(s.Summary)
			}
		})
	}
}

func TestOfManyConnectorsInTroubleSomeAreNamedAndOfVeryManySomeListed(t *testing.T) {
	f := connecting()
	f.connectors.Connectors = nil
	for i := range 300 {
		c := connectors.Connector{Name: fmt.Sprintf("c-%03d", i), State: "running"}
		if i >= 290 {
			c.State = "failed"
		}
		f.connectors.Connectors = append(f.connectors.Connectors, c)
	}
	page := f.at(t, "/?part=body").Body.String()
	for _, want := range []string{"Connector c-294 is failing", "5 more connectors are in trouble", "and 100 more that", `data-key="c-299"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "Connector c-295") {
		t.Error("too many are named")
	}
}

func TestTheConnectorsAreMetrics(t *testing.T) {
	for f, want := range map[*fake][]string{
		connecting(): {
			"zatoha_lb_connectorhost_active 1", "zatoha_lb_connectorhost_epoch 4711", "zatoha_lb_connectorhost_answers 1",
			`zatoha_lb_connectorhosts{role="standby"} 2`, `zatoha_lb_connectorhosts{role="away"} 0`,
			`zatoha_lb_connector_up{connector="orders",kind="amqp",role="channel"} 1`,
			`zatoha_lb_connector_in_flight{connector="orders",kind="amqp",role="channel"} 3`, "zatoha_lb_connector_definitions_refused 0",
		},
		disconnecting(): {
			"zatoha_lb_connectorhost_answers 0", `zatoha_lb_connectorhosts{role="away"} 2`,
			`zatoha_lb_connector_up{connector="orders",kind="amqp",role="channel"} 0`, "zatoha_lb_connector_definitions_refused 2",
		},
	} {
		text := f.at(t, "/metrics").Body.String()
		for _, line := range want {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("the metrics do not say %s", line)
			}
		}
	}
	unknown := connecting()
	unknown.connectors.Lease = connectors.Lease{Error: "403"}
	if text := unknown.at(t, "/metrics").Body.String(); strings.Contains(text, "zatoha_lb_connectorhost_active") ||
		!strings.Contains(text, "zatoha_lb_connectorhost_lease_known 0\n") {
		t.Error("of a lease that never could be read the metrics say whether a host holds it")
	}
	if text := busy().at(t, "/metrics").Body.String(); strings.Contains(text, "zatoha_lb_connector") {
		t.Error("without connector hosts there are metrics of them")
	}
	if text := busy().at(t, "/status").Body.String(); strings.Contains(text, `"connectors"`) {
		t.Error("without connector hosts there is a report of them")
	}
}
