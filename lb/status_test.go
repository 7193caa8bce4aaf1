package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/lb/admin"
	"zatoha/lb/connectors"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

var someStatus = admin.Status{
	Healthy: true, State: admin.AtRisk, Cluster: "main", Service: "zato-server",
	Now:   time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC),
	Risks: []admin.Risk{{What: "One server is left", Means: "Start another."}}, Rotation: []string{"web-1"}, Free: 8,
	Slots: []admin.Slot{
		{
			Slot: "slot-001", Instance: "web-1", Address: "10.0.0.1:80", Mode: state.Ready, Weight: 1, TakesTraffic: true,
			Traffic: haproxy.Traffic{Status: "UP", Check: "L7OK/200 in 1ms", Sessions: 3, Rate: 992},
		},
		{
			Slot: "slot-002", Instance: "web-2\x1b[2J\u202e", Address: "10.0.0.2:80", Mode: state.Ready, Weight: 10,
			Traffic: haproxy.Traffic{Status: "DOWN", Check: "L4CON in 0ms"},
		},
	},
	Held:    []state.Change{{Slot: "slot-002", Before: state.Member{Key: "n/web-2", ID: "web-2", Address: "10.0.0.2", Port: 80, Weight: 10, Mode: state.Ready}}},
	Refused: []state.Refusal{{ID: "web-9", Reason: "its port 0 is not one"}},
	Parity:  state.Parity{Majority: "a1", Differing: []state.Differing{{Key: "n/web-2", ID: "web-2", Services: "b2", Held: true}, {Key: "n/web-3", ID: "web-3", Services: "c3"}}},
	Changes: []reconcile.Entry{{At: time.Date(2026, 1, 2, 11, 58, 30, 0, time.UTC), Index: 42, What: "slot-001 fill"}},
}

func TestTheStatusOnATerminal(t *testing.T) {
	want := strings.TrimLeft(`
AT RISK  1 of 2 servers takes traffic  (cluster main, service zato-server)
! One server is left. Start another.

SLOT      INSTANCE    ADDRESS      MODE   HAPROXY  WEIGHT  SESSIONS  REQ/S  CHECK
slot-001  web-1       10.0.0.1:80  ready  UP       1       3         992    L7OK/200 in 1ms
slot-002  web-2�[2J�  10.0.0.2:80  ready  DOWN     10      0         0      L4CON in 0ms
8 slots free

held back: slot-002 free: web-2 10.0.0.2:80 weight 10 ready -> nobody
refused: web-9: its port 0 is not one
differs: web-2: services b2, most have a1: held out of rotation
differs: web-3: services c3, most have a1

LAST CHANGES  CONSUL'S INDEX  WHAT
1m30s ago     42              slot-001 fill
`, "\n")
	if got := statusText(someStatus, false); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	behindAPI := someStatus
	behindAPI.DataPlane = admin.DataPlane{Kind: admin.Remote, Address: "https://lb-1:5555", Reachable: true}
	if first, _, _ := strings.Cut(statusText(behindAPI, false), "\n"); !strings.HasSuffix(first, "service zato-server, through https://lb-1:5555)") {
		t.Errorf("printed %q", first)
	}
	connecting := someStatus
	connecting.Connectors = &connectors.Report{
		Lease: connectors.Lease{Known: true, Held: true, Host: "host-1", Epoch: 7, Since: someStatus.Now.Add(-125 * time.Second)},
		Hosts: []connectors.Host{{ID: "host-1", Role: connectors.Active}, {ID: "host-2", Role: connectors.Standby}, {ID: "host-3\n", Role: connectors.Away}},
		Connectors: []connectors.Connector{
			{Name: "bills", Kind: "zmq", Role: "channel", State: "failed", Why: "address\tin use"},
			{Name: "orders", Kind: "amqp", Role: "channel", State: "running", InFlight: 3, LastMessage: someStatus.Now.Add(-3 * time.Second), Counts: map[string]int64{"received": 42}},
		},
		Refused: []connectors.Refusal{{Name: "odd", Reason: "kind: is missing", Kept: true}},
	}
	wantConnectors := strings.TrimLeft(`
connectors: on host-1, epoch 7, for 2m5s; standby: host-2; away: host-3�
CONNECTOR  KIND  ROLE     STATE    MESSAGES  IN FLIGHT  LAST MESSAGE  WHY
bills      zmq   channel  failed   0         0          -             address�in use
orders     amqp  channel  running  42        3          3s ago
refused: odd: kind: is missing (the last good one stays)
`, "\n")
	if got := statusText(connecting, false); !strings.Contains(got, "\n"+wantConnectors+"\nLAST CHANGES") {
		t.Errorf("printed\n%s\nwant in it\n%s", got, wantConnectors)
	}
	connecting.Connectors.Lease.Held = false
	if got := statusText(connecting, false); !strings.Contains(got, "connectors: no host is active; standby: host-2") {
		t.Errorf("printed\n%s", got)
	}
	coloured := statusText(someStatus, true)
	if !strings.HasPrefix(coloured, yellow+"AT RISK"+plain) || !strings.Contains(coloured, red+"slot-002") {
		t.Errorf("printed %q", coloured)
	}
	for _, escape := range []string{red, green, yellow, plain} {
		coloured = strings.ReplaceAll(coloured, escape, "")
	}
	if coloured != want {
		t.Error("the colours change the text")
	}
}

func TestTheExitStatusIsTheHealth(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		fault  string
	}{
		"healthy":       {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"healthy":true,"state":"healthy"}`)) }, ""},
		"at risk":       {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"healthy":true,"state":"at risk"}`)) }, ""},
		"down":          {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"state":"down"}`)) }, "not healthy: none of 0 servers takes traffic"},
		"not ours":      {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`<html>`)) }, "the answer is not a status"},
		"not so either": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }, "418 I'm a teapot"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }))
			defer server.Close()
			wantFault(t, server.Listener.Addr(), c.fault)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	wantFault(t, listener.Addr(), "connection refused: is it running, and is this its --admin-listen?")
}

// wantFault runs the command and wants one line that has the fault in it, or none.
func wantFault(t *testing.T, address net.Addr, fault string) {
	t.Helper()
	command := statusCommand{Admin: program.HostPort(address.String())}
	err := command.Run(t.Context(), zerolog.Nop(), nil)
	if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("%v, want %q", err, fault)
	}
}
