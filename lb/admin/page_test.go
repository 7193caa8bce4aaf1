package admin

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// noon is when the golden pages are looked at.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// busy is three servers that serve, seen at noon.
func busy() *fake {
	pool := state.NewPool(10)
	f := &fake{
		process: process.Status{Master: 4211, Worker: 4213, Version: "2.6.12", Since: noon.Add(-50 * time.Hour)},
		stats: haproxy.Stats{
			Uptime:   7384 * time.Second,
			Frontend: haproxy.Counters{Traffic: haproxy.Traffic{Status: "OPEN", Sessions: 64, Rate: 2976, Requests: 88_120_345}, Responses: haproxy.Responses{2: 88_119_002, 4: 1340, 5: 3}},
			Backend:  haproxy.Counters{Traffic: haproxy.Traffic{Status: "UP"}, Retries: 41, Redispatches: 12},
			Servers:  map[string]haproxy.Counters{},
		},
	}
	for i := range 3 {
		slot := &pool.Slots[i]
		id := fmt.Sprintf("zato-server-app%d-17010", i+1)
		slot.Member = state.Member{Key: "n/" + id, ID: id, Address: fmt.Sprintf("10.0.0.1%d", i+1), Port: 17010, Weight: 1, Mode: state.Ready}
		f.stats.Servers[slot.Name] = haproxy.Counters{
			Traffic:  haproxy.Traffic{Status: "UP", Check: "L7OK/200 in 1ms", Sessions: 3 + i, Rate: 992, Requests: 29_373_448},
			InStatus: time.Duration(7384-i*900) * time.Second,
		}
	}
	f.report = reconcile.Report{
		Pool: pool, Index: 1042, LastSync: noon.Add(-1200 * time.Millisecond), LastWhole: noon.Add(-1200 * time.Millisecond),
		Consul:   reconcile.ConsulReport{Reachable: true, Since: noon.Add(-50 * time.Hour)},
		Counters: reconcile.Counters{Changes: 17, Drift: reconcile.Drift{Runtime: 1}, Reloads: map[haproxy.Reload]uint64{haproxy.ReloadToGrow: 1}},
		History: []reconcile.Entry{
			{At: noon.Add(-94 * time.Second), Index: 1042, What: "slot-002 ready: zato-server-app2-17010 10.0.0.12:17010 weight 1 out -> zato-server-app2-17010 10.0.0.12:17010 weight 1 ready"},
			{At: noon.Add(-98 * time.Second), Index: 1040, What: "slot-002 out: zato-server-app2-17010 10.0.0.12:17010 weight 1 ready -> zato-server-app2-17010 10.0.0.12:17010 weight 1 out"},
			{At: noon.Add(-50 * time.Hour), Index: 12, What: "slot-001 fill: nobody -> zato-server-app1-17010 10.0.0.11:17010 weight 1 ready"},
		},
	}
	return f
}

// troubled is a cluster that serves, and in which everything that can be wrong is.
func troubled() *fake {
	f := busy()
	slots := f.report.Pool.Slots
	f.stats.Servers["slot-001"] = haproxy.Counters{
		Traffic: haproxy.Traffic{Status: "DOWN", Check: "L4CON in 0ms", Requests: 5}, InStatus: 42 * time.Second,
	}
	slots[1].Member.Mode = state.Drain
	f.stats.Servers["slot-002"] = haproxy.Counters{Traffic: haproxy.Traffic{Status: "DRAIN", Sessions: 2}, InStatus: 3 * time.Second}
	slots[2].Member.ID = `<script>alert("web-3")</script>`
	f.report.Pool.Slots = slots[:3]
	f.stats.Backend.Queue = 7
	f.report.LastWhole = noon.Add(-time.Hour)
	f.report.Consul = reconcile.ConsulReport{Since: noon.Add(-5 * time.Minute), Error: "dial tcp 127.0.0.1:8500: connect: connection refused"}
	f.report.Error = "setting servers of bck_http_plain: <b>no</b>"
	f.report.AckError = "acknowledging that <b>no is drained: 403"
	f.report.Held = []state.Change{{Slot: "slot-001", Before: slots[0].Member}}
	f.report.Refused = []state.Refusal{{ID: `"><img src=x onerror=alert(1)>`, Reason: "its port 0 is not one"}}
	f.report.Parity = state.Parity{Policy: state.HoldParity, Majority: "aaaa", Groups: []state.ServicesGroup{{Services: "aaaa", Servers: 2}, {Services: "<b>bbbb", Servers: 1}}, Differing: []state.Differing{{Key: slots[2].Member.Key, ID: slots[2].Member.ID, Services: "<b>bbbb"}}}
	f.report.Counters.Holds = 1
	f.process.Adopted, f.process.Restarts = true, 2
	return f
}

// down is a cluster whose HAProxy does not run.
func down() *fake {
	f := busy()
	f.process, f.stats = process.Status{Restarts: 1}, haproxy.Stats{}
	f.err = errors.New("show stat: dial unix /run/zatoha/haproxy-stats.sock: connect: no such file or directory")
	f.report.Error = f.err.Error()
	return f
}

// silent is a cluster whose Data Plane API cannot be reached.
func silent() *fake {
	f := busy()
	f.report.Error = "the Data Plane API does not answer: GET https://lb-1:5555/v2/services/haproxy/stats/native: connection refused: see that it runs and can be reached from here"
	f.noAnswer(false, f.report.Error)
	return f
}

// at answers as if it were noon.
func (f *fake) at(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	admin := f.admin(t)
	admin.now = func() time.Time { return noon }
	recorder := httptest.NewRecorder()
	admin.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder
}

func TestThePagesAreAsTheyWere(t *testing.T) {
	for name, f := range map[string]*fake{
		"healthy": busy(), "troubled": troubled(),
		"connectors": connecting(), "connectors-troubled": disconnecting(),
		"down": down(), "remote": busy().behindAPI(), "silent": silent(),
		"nothing": {err: errors.New("dial unix haproxy-stats.sock: connect: no such file or directory")},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.at(t, "/?part=body").Body.String()
			golden := "testdata/" + name + ".html"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("not %s; if the new page is right, run go test ./lb/admin -update\n%s", golden, got)
			}
		})
	}
}

func TestWhatAnInstanceCallsItselfIsOnlyText(t *testing.T) {
	page := troubled().at(t, "/").Body.String() + disconnecting().at(t, "/").Body.String()
	for _, name := range []string{`<script>alert`, `<img`, `<b>no`, `<b>host`, `<i>connection`} {
		if strings.Contains(page, name) {
			t.Errorf("%s stands in the page as it is", name)
		}
	}
	if want := "&lt;script&gt;alert(&#34;web-3&#34;)&lt;/script&gt;"; !strings.Contains(page, want) {
		t.Errorf("the page does not show %s", want)
	}
}

// TestThePageIsWholeAndMayRun holds what a browser would: the inline texts are those that the policy allows.
func TestThePageIsWholeAndMayRun(t *testing.T) {
	f := busy()
	whole, part := f.at(t, "/"), f.at(t, "/?part=body")
	page := whole.Body.String()
	if !strings.Contains(page, part.Body.String()) {
		t.Error("the part is not what the whole page has in it")
	}
	if id := part.Header().Get("X-Page"); id == "" || !strings.Contains(page, `data-page="`+id+`"`) {
		t.Errorf("the part is of page %q", id)
	}
	header := whole.Header()
	for _, element := range []string{"style", "script"} {
		_, text, _ := strings.Cut(page, "<"+element+">")
		text, _, _ = strings.Cut(text, "</"+element+">")
		if policy := header.Get("Content-Security-Policy"); text == "" || !strings.Contains(policy, element+"-src "+source(text)+";") {
			t.Errorf("the policy %s does not allow the page's %s", policy, element)
		}
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%v", header)
	}
	if strings.Contains(page, "http://") || strings.Contains(page, "https://") || strings.Contains(page, "style=") {
		t.Error("the page wants something from outside, or has a style that its policy refuses")
	}
}

func TestOfVeryManyServersThoseInTroubleAreListed(t *testing.T) {
	f := busy()
	f.report.Pool = state.NewPool(5000)
	for i := range f.report.Pool.Slots {
		slot := &f.report.Pool.Slots[i]
		slot.Member = state.Member{Key: slot.Name, ID: "of-" + slot.Name, Address: "10.0.0.1", Port: 1, Weight: 1, Mode: state.Ready}
		f.stats.Servers[slot.Name] = haproxy.Counters{Traffic: haproxy.Traffic{Status: "UP"}}
	}
	last := f.report.Pool.Slots[4999].Name
	f.serves(last, "DOWN")
	page := f.at(t, "/?part=body").Body.String()
	if rows := strings.Count(page, `<tr class=`); rows != maxRows || !strings.Contains(page, "of-"+last) || !strings.Contains(page, "4800 more") {
		t.Errorf("%d rows", rows)
	}
	if len(page) > 200_000 {
		t.Errorf("the page has %d bytes, once a second", len(page))
	}
}
