package haproxy

import "testing"

func TestEventsAreReadFromHAProxysMessages(t *testing.T) {
	for message, want := range map[string]Event{
		`Server bck_http_plain/slot-001 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. 2 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.`: {Server: "slot-001", Reason: "Layer4 connection problem (Connection refused)"},
		`Server bck_http_plain/slot-002 is DOWN, reason: Layer7 timeout, check duration: 251ms. 1 active and 0 backup servers left.`:                                                                                           {Server: "slot-002", Reason: "Layer7 timeout"},
		`Server bck_http_plain/slot-002 is UP, reason: Layer7 check passed, code: 200, check duration: 1ms. 3 active and 0 backup servers online.`:                                                                             {Server: "slot-002", Up: true, Reason: "Layer7 check passed, code: 200"},
		`Server other/slot-002 is UP, reason: Layer7 check passed`:                       {},
		`Server bck_http_plain/slot-002 is UP/READY (leaving forced maintenance).`:       {},
		`Server bck_http_plain/slot-002 was DOWN and now enters maintenance.`:            {},
		`Server bck_http_plain/slot-002 is going DOWN for maintenance.`:                  {},
		`backend bck_http_plain has no server available!`:                                {},
		`Health check for server bck_http_plain/slot-002 failed, reason: Layer7 timeout`: {},
		``: {},
	} {
		got, ok := ParseEvent(message)
		if got != want || ok != (want.Server != "") {
			t.Errorf("%q is read as %+v, %v", message, got, ok)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(`Server bck_http_plain/slot-001 is DOWN, reason: a, info: "b", check duration: 0ms.`)
	f.Fuzz(func(t *testing.T, message string) {
		if event, ok := ParseEvent(message); !ok && event != (Event{}) {
			t.Errorf("%q is no event, and is %+v", message, event)
		}
	})
}
