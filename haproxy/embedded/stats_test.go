package embedded

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"zatoha/haproxy"
)

// TestStatsCountWhatWentThrough sends requests through the real HAProxy and reads them in its counters.
func TestStatsCountWhatWentThrough(t *testing.T) {
	d, _ := start(t, 2)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nothing" {
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	host, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	server := haproxy.Server{Name: "slot-001", Address: host, Weight: 1, Admin: haproxy.Ready}
	server.Port, _ = strconv.Atoi(port)
	if _, err := d.Set(t.Context(), []haproxy.Change{{From: freeSlots(1)[0], To: server}}); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/", "/nothing"} {
		response, err := client.Get("http://" + d.options.Bind + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	stats := settled(t, d, 3)
	for name, c := range map[string]haproxy.Counters{
		"frontend": stats.Frontend, "backend": stats.Backend, "slot-001": stats.Servers["slot-001"],
	} {
		if c.Requests != 3 || c.Responses != (haproxy.Responses{2: 2, 4: 1}) || c.BytesIn == 0 || c.BytesOut == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if other := stats.Servers["slot-002"]; len(stats.Servers) != 2 || other.Status != "MAINT" || other.Requests != 0 {
		t.Errorf("%+v", stats.Servers)
	}
	if stats.Frontend.Status != "OPEN" || stats.Uptime > time.Minute {
		t.Errorf("the front is %s, the worker %s old", stats.Frontend.Status, stats.Uptime)
	}
}

// settled are the counters once they have so many answers, which HAProxy counts shortly after they were sent.
func settled(t *testing.T, d *DataPlane, answers uint64) haproxy.Stats {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-poll.C {
		stats, err := d.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sum(stats.Frontend.Responses) >= answers || time.Now().After(deadline) {
			return stats
		}
	}
}

func sum(responses haproxy.Responses) (n uint64) {
	for _, count := range responses {
		n += count
	}
	return n
}

func TestStatsOfAnHAProxyThatIsAway(t *testing.T) {
	d, _ := newDataPlane(t)
	if stats, err := d.Stats(t.Context()); err == nil {
		t.Errorf("no error, but %+v", stats)
	}
}

func TestATableOfCountersIsReadByItsHeader(t *testing.T) {
	const header = "# pxname,svname,qcur,scur,status,check_status,check_code,check_duration,last_chk,hrsp_2xx,new_one,\n"
	for name, c := range map[string]struct {
		answer string
		slot   haproxy.Counters
		fails  bool
	}{
		"columns in any order": {
			header + "b,slot-001,1,2,UP,L7OK,200,3,\"a \"\"quoted\"\", word\",7,?,\n",
			haproxy.Counters{Traffic: haproxy.Traffic{Status: "UP", Check: "L7OK/200 in 3ms", Sessions: 2}, Queue: 1, Responses: haproxy.Responses{2: 7}},
			false,
		},
		"a check under way":     {header + "b,slot-001,,,UP,* L4CON,,0,,,,\n", haproxy.Counters{Traffic: haproxy.Traffic{Status: "UP", Check: "L4CON in 0ms"}}, false},
		"another's":             {header + "other,slot-001,1,2,UP,,,,,,,\n", haproxy.Counters{}, false},
		"cut short":             {header + "b,slot-001,1", haproxy.Counters{Queue: 1}, false},
		"numbers that are none": {header + "b,slot-001,-1,x,,,,,,99999999999999999999999,,\n", haproxy.Counters{Responses: haproxy.Responses{2: 1<<64 - 1}}, false},
		"nothing":               {"", haproxy.Counters{}, true},
		"a refusal":             {"Permission denied", haproxy.Counters{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			stats, err := parseStats(c.answer, "f", "b")
			if (err != nil) != c.fails || stats.Servers["slot-001"] != c.slot {
				t.Errorf("%+v, %v", stats.Servers, err)
			}
		})
	}
}
