package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/connectors"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

// fake is a load balancer of which every part says what the test wants.
type fake struct {
	report  reconcile.Report
	process process.Status
	stats   haproxy.Stats
	err     error
	remote  *Seen // instead of the last three, for an HAProxy that somebody else runs

	certificates []haproxy.Certificate
	rolledBack   time.Time
	connectors   *connectors.Report
}

func (f *fake) Report() reconcile.Report { return f.report }

func (f *fake) Look(context.Context) Seen {
	if f.remote != nil {
		return *f.remote
	}
	return Seen{
		DataPlane: DataPlane{Kind: Embedded, Address: "/var/lib/zatoha/lb/haproxy.cfg", Reachable: f.err == nil},
		Running:   f.process.Master != 0, Process: f.process, Stats: f.stats, Err: f.err, Certificates: f.certificates, RolledBack: f.rolledBack,
	}
}

// behindAPI makes HAProxy one that somebody else runs.
func (f *fake) behindAPI() *fake {
	f.remote = &Seen{
		DataPlane: DataPlane{Kind: Remote, Address: "https://lb-1:5555", Reachable: true}, Running: true, Stats: f.stats,
	}
	return f
}

// noAnswer has neither HAProxy nor its counters there.
func (f *fake) noAnswer(reachable bool, err string) {
	f.behindAPI()
	f.remote.Running, f.remote.Reachable, f.remote.Stats, f.remote.Err = false, reachable, haproxy.Stats{}, errors.New(err)
}

// serves sets what HAProxy says of a slot.
func (f *fake) serves(slot, status string) {
	counters := f.stats.Servers[slot]
	counters.Status = status
	f.stats.Servers[slot] = counters
}

// healthy is two servers that serve, and one free slot.
func healthy() *fake {
	pool := state.NewPool(3)
	for i, id := range []string{"web-1", "web-2"} {
		pool.Slots[i].Member = state.Member{Key: "n/" + id, ID: id, Address: "10.0.0.1", Port: 80 + i, Weight: 1, Mode: state.Ready}
	}
	return &fake{
		report: reconcile.Report{
			Pool: pool, Index: 7, LastSync: time.Now(), Consul: reconcile.ConsulReport{Reachable: true},
			Counters: reconcile.Counters{Changes: 2, Drift: reconcile.Drift{File: 2, Runtime: 3}, Reloads: map[haproxy.Reload]uint64{haproxy.ReloadToGrow: 1}},
		},
		process: process.Status{Master: 10, Worker: 11},
		stats: haproxy.Stats{
			Frontend: haproxy.Counters{Traffic: haproxy.Traffic{Status: "OPEN", Sessions: 4, Requests: 9}, Responses: haproxy.Responses{2: 8, 5: 1}},
			Backend:  haproxy.Counters{Traffic: haproxy.Traffic{Status: "UP"}, Retries: 2, Redispatches: 1},
			Servers: map[string]haproxy.Counters{
				"slot-001": {Traffic: haproxy.Traffic{Status: "UP", Check: "L7OK/200 in 1ms", Requests: 5}, BytesIn: 100, Responses: haproxy.Responses{2: 5}, CheckFailures: 3},
				"slot-002": {Traffic: haproxy.Traffic{Status: "UP 1/2"}},
				"slot-003": {Traffic: haproxy.Traffic{Status: "MAINT"}},
			},
		},
	}
}

func (f *fake) handler(t *testing.T) http.Handler { return f.admin(t).Handler() }

func (f *fake) admin(t *testing.T) *Admin {
	t.Helper()
	registry := prometheus.NewRegistry()
	Propagation(registry)(3 * time.Millisecond)
	options := Options{Cluster: "main", Service: "zato-server", Consul: "127.0.0.1:8500", Version: "test"}
	options.Connectors = func() *connectors.Report { return f.connectors }
	return New(options, f, f, registry, zerolog.New(zerolog.NewTestWriter(t)))
}

func (f *fake) get(t *testing.T, path string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	f.handler(t).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder.Code, recorder.Body.String()
}

func TestTheTruthInOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*fake)
		code    int
		summary string
	}{
		"all well": {func(*fake) {}, 200, "healthy: 2 of 2 servers take traffic"},
		"one is down by haproxy's checks": {func(f *fake) {
			f.serves("slot-001", "DOWN")
		}, 200, "healthy: 1 of 2 servers takes traffic"},
		"none is up": {func(f *fake) {
			f.serves("slot-001", "DOWN 1/2")
			f.report.Pool.Slots[1].Member.Mode = state.Drain
		}, 503, "DOWN: none of 2 servers takes traffic"},
		"an operator's own server lines serve": {func(f *fake) {
			f.report.Pool = state.NewPool(3)
			f.serves("sorry", "UP")
			f.serves("other", "no check")
			f.serves("third", "DOWN")
		}, 200, "healthy: none of 0 servers takes traffic, and 2 server lines of your own are up"},
		"an operator's own server line is there": {func(f *fake) { f.serves("sorry", "UP") }, 200, "healthy: 2 of 2 servers take traffic, and 1 server line of your own is up"},
		"weight 0 takes nothing": {func(f *fake) {
			f.report.Pool.Slots[0].Member.Weight, f.report.Pool.Slots[1].Member.Weight = 0, 0
		}, 503, "DOWN: none of 2 servers takes traffic"},
		"no haproxy": {func(f *fake) {
			f.process, f.stats, f.err = process.Status{}, haproxy.Stats{}, errors.New("no socket")
		}, 503, "DOWN: none of 2 servers takes traffic; haproxy is not running"},
		"an haproxy that somebody else runs": {func(f *fake) { f.behindAPI() }, 200, "healthy: 2 of 2 servers take traffic"},
		"nothing of it runs":                 {func(f *fake) { f.noAnswer(true, "x") }, 503, "DOWN: none of 2 servers takes traffic; haproxy is not running"},
		"no word of it": {func(f *fake) {
			f.noAnswer(false, "x")
		}, 503, "DOWN: none of 2 servers is known to take traffic; the data plane does not answer, haproxy stays as it was"},
		"no consul": {func(f *fake) {
			f.report.Consul = reconcile.ConsulReport{Error: "refused"}
		}, 200, "healthy: 2 of 2 servers take traffic; consul does not answer, servers stay as they were"},
		"the front is disabled":  {func(f *fake) { f.stats.Frontend.Status = haproxy.Paused }, 503, "DOWN: nobody can connect, while 2 of 2 servers take traffic"},
		"the front is shut down": {func(f *fake) { f.stats.Frontend.Status = haproxy.Shut }, 503, "DOWN: nobody can connect, while 2 of 2 servers take traffic"},
		"the front is full":      {func(f *fake) { f.stats.Full = true }, 200, "healthy: 2 of 2 servers take traffic"},
		"held back": {func(f *fake) {
			f.report.Held = []state.Change{{Slot: "slot-001"}}
			f.report.Refused = []state.Refusal{{ID: "x"}, {ID: "y"}}
		}, 200, "healthy: 2 of 2 servers take traffic; 1 removal is held back; 2 instances cannot be balanced"},
		"does not follow": {func(f *fake) {
			f.report.Error = "permission denied"
		}, 200, "healthy: 2 of 2 servers take traffic; haproxy does not follow: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			c.change(f)
			code, body := f.get(t, "/zato-lb-alive")
			var alive Alive
			if err := json.Unmarshal([]byte(body), &alive); err != nil {
				t.Fatal(err)
			}
			seen := f.Look(t.Context())
			if code != c.code || alive.Alive != (c.code == 200) || alive.Summary != c.summary ||
				alive.HAProxy != seen.Running || alive.DataPlane != seen.Reachable {
				t.Errorf("%d %+v", code, alive)
			}
		})
	}
}

func TestStatusShowsEverySlotInUse(t *testing.T) {
	code, body := healthy().get(t, "/status")
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != 200 {
		t.Fatalf("%d %v %s", code, err, body)
	}
	if len(s.Slots) != 2 || s.Free != 1 || s.Slots[0].Instance != "web-1" || s.Slots[0].Address != "10.0.0.1:80" || s.Slots[0].Requests != 5 {
		t.Errorf("slots %+v, %d free", s.Slots, s.Free)
	}
	if s.Consul.Index != 7 || s.Sync.AgeMS < 0 || s.HAProxy.Worker != 11 || s.DataPlane.Kind != Embedded {
		t.Errorf("%+v", s)
	}
	if strings.Contains(body, "null") {
		t.Errorf("null in %s", body)
	}
}

func TestMetricsFollowTheStatus(t *testing.T) {
	code, body := healthy().get(t, "/metrics")
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for _, line := range []string{
		`zatoha_lb_slots{use="used"} 2`, `zatoha_lb_slots{use="free"} 1`, `zatoha_lb_servers{mode="ready"} 2`,
		`zatoha_lb_servers_in_rotation 2`, `zatoha_lb_consul_up 1`, `zatoha_lb_consul_index 7`, `zatoha_lb_haproxy_up 1`,
		`zatoha_lb_haproxy_reloads_total{reason="grow"} 1`, `zatoha_lb_haproxy_reloads_total{reason="settings"} 0`,
		`zatoha_lb_drift_total{where="file"} 2`, `zatoha_lb_drift_total{where="runtime"} 3`, `zatoha_lb_changes_total 2`, `zatoha_lb_in_sync 1`,
		`zatoha_lb_propagation_seconds_count 1`, `zatoha_lb_build_info{version="test"} 1`, `zatoha_lb_slots_free_for_seconds +Inf`,
		`zatoha_lb_data_plane_up{kind="embedded"} 1`, `zatoha_lb_front_open 1`, `zatoha_lb_front_full 0`, `zatoha_lb_rolled_back 0`,
		`zatoha_lb_haproxy_frontend_sessions{proxy="front_http_plain"} 4`,
		`zatoha_lb_haproxy_frontend_responses_total{code="5xx",proxy="front_http_plain"} 1`,
		`zatoha_lb_haproxy_backend_retries_total{proxy="bck_http_plain"} 2`,
		`zatoha_lb_haproxy_backend_redispatches_total{proxy="bck_http_plain"} 1`,
		`zatoha_lb_haproxy_server_requests_total{instance="web-1",slot="slot-001"} 5`,
		`zatoha_lb_haproxy_server_responses_total{code="2xx",instance="web-1",slot="slot-001"} 5`,
		`zatoha_lb_haproxy_server_check_failures_total{instance="web-1",slot="slot-001"} 3`,
		`zatoha_lb_haproxy_server_up{instance="web-2",slot="slot-002"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestTheMetricsSayWhatIsWrong(t *testing.T) {
	f := healthy()
	f.stats.Frontend.Status, f.stats.Full, f.rolledBack = haproxy.Paused, true, time.Now()
	_, body := f.get(t, "/metrics")
	for _, line := range []string{"zatoha_lb_front_open 0", "zatoha_lb_front_full 1", "zatoha_lb_rolled_back 1"} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s in\n%s", line, body)
		}
	}
}

func TestTheMetricsSayThroughWhichDataPlaneNothingIsKnown(t *testing.T) {
	f := healthy()
	f.noAnswer(false, "x")
	_, body := f.get(t, "/metrics")
	if line := `zatoha_lb_data_plane_up{kind="remote"} 0`; !strings.Contains(body, line+"\n") {
		t.Errorf("no line %s in\n%s", line, body)
	}
	for _, unknown := range []string{"zatoha_lb_haproxy_up", "zatoha_lb_servers_in_rotation"} { // each raises an alarm if it is 0
		if strings.Contains(body, unknown) {
			t.Errorf("%s is there in\n%s", unknown, body)
		}
	}
	f.noAnswer(true, "x")
	_, body = f.get(t, "/metrics")
	for _, line := range []string{`zatoha_lb_data_plane_up{kind="remote"} 1`, `zatoha_lb_haproxy_up 0`} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s in\n%s", line, body)
		}
	}
}

func TestAnOperatorsOwnServerIsInRotation(t *testing.T) {
	f := healthy()
	f.report.Pool = state.NewPool(3)
	f.serves("sorry", "UP")
	if _, body := f.get(t, "/metrics"); !strings.Contains(body, "zatoha_lb_servers_in_rotation 1\n") {
		t.Errorf("another number in\n%s", body)
	}
}

func TestEveryMetricIsExplained(t *testing.T) {
	_, body := healthy().get(t, "/metrics")
	_, all, _ := strings.Cut("\n"+body, "\n# HELP ")
	for _, entry := range strings.Split(all, "\n# HELP ") {
		line, _, _ := strings.Cut(entry, "\n")
		name, help, _ := strings.Cut(line, " ")
		if strings.HasPrefix(name, "zatoha_lb_") && (len(strings.Fields(help)) < 4 || !strings.HasSuffix(help, ".")) {
			t.Errorf("%s says only %q", name, help)
		}
	}
}

func TestWhatCannotBeReadIsAGapInTheMetrics(t *testing.T) {
	f := healthy()
	f.stats, f.err = haproxy.Stats{}, errors.New("no socket")
	f.report.LastSync = time.Time{}
	code, body := f.get(t, "/metrics")
	if code != 200 || strings.Contains(body, "zatoha_lb_haproxy_server") || strings.Contains(body, "zatoha_lb_front_") || strings.Contains(body, "zatoha_lb_servers_in_rotation") ||
		!strings.Contains(body, "zatoha_lb_haproxy_up 1\n") || !strings.Contains(body, "zatoha_lb_last_sync_age_seconds +Inf\n") {
		t.Errorf("%d %s", code, body)
	}
}

func TestTheAgeOfTheCatalogIsAMetric(t *testing.T) {
	f := healthy()
	for want, report := range map[string]reconcile.ConsulReport{
		"0": {Reachable: true, Since: time.Now().Add(-time.Hour)}, "+Inf": {}, "3600": {Since: time.Now().Add(-time.Hour)},
	} {
		f.report.Consul = report
		_, body := f.get(t, "/metrics")
		if _, got, _ := strings.Cut(body, "\nzatoha_lb_catalog_age_seconds "); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: the age is %.20s, want %s", report, got, want)
		}
	}
}

// Consul may answer, and not be believed: the servers are as old as what was last believed.
func TestTheAgeOfTheLastGoodSetIsAMetric(t *testing.T) {
	hourAgo, held := time.Now().Add(-time.Hour), []state.Change{{Slot: "slot-001"}}
	for name, c := range map[string]struct {
		reachable bool
		held      []state.Change
		last      time.Time
		want      string
	}{
		"followed":     {true, nil, time.Now(), "0"},
		"held":         {true, held, hourAgo, "3600"},
		"away":         {false, nil, hourAgo, "3600"},
		"never":        {true, held, time.Time{}, "+Inf"},
		"not yet seen": {false, nil, time.Time{}, "+Inf"},
	} {
		f := healthy()
		f.report.Consul.Reachable, f.report.Held, f.report.LastWhole = c.reachable, c.held, c.last
		_, body := f.get(t, "/metrics")
		if _, got, _ := strings.Cut(body, "\nzatoha_lb_catalog_followed_age_seconds "); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: the age is %.20s, want %s", name, got, c.want)
		}
	}
}

func TestAnInstanceWithAnImpossibleNameIsCountedToo(t *testing.T) {
	f := healthy()
	f.report.Pool.Slots[0].Member.ID = "web\xff\"1\n"
	code, body := f.get(t, "/metrics")
	if want := `zatoha_lb_haproxy_server_up{instance="web` + "\uFFFD" + `\"1\n",slot="slot-001"} 1`; code != 200 || !strings.Contains(body, want) {
		t.Errorf("%d, no line %s", code, want)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	f := healthy()
	if code, _ := f.get(t, "/nothing"); code != http.StatusNotFound {
		t.Errorf("/nothing answers %d", code)
	}
	recorder := httptest.NewRecorder()
	f.handler(t).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/status", nil))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST answers %d", recorder.Code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := healthy()
	admin := New(Options{}, f, f, prometheus.NewRegistry(), zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- admin.Serve(ctx, listener) }()
	response, err := http.Get("http://" + listener.Addr().String() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
