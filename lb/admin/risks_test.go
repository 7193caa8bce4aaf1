package admin

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
	"zatoha/lb/reconcile"
	"zatoha/lb/state"
)

const day = 24 * time.Hour

func TestWhatWouldBreakItIsSaid(t *testing.T) {
	for name, change := range map[string]func(*fake){
		"": func(*fake) {},
		"One server is left": func(f *fake) {
			f.report.Pool.Slots[0].Member.Mode, f.report.Pool.Slots[2].Member.Mode = state.Drain, state.Drain
		},
		"One server is left, where it is an operator's own": func(f *fake) {
			f.report.Pool = state.NewPool(10)
			f.serves("sorry", "UP")
		},
		", where two are an operator's own": func(f *fake) {
			f.report.Pool = state.NewPool(10)
			f.serves("sorry", "UP")
			f.serves("other", "no check")
		},
		"1 server fails": func(f *fake) { f.serves("slot-001", "DOWN") },
		"2 servers fail": func(f *fake) {
			f.report.Pool = state.Pool{Slots: append(slices.Clone(f.report.Pool.Slots), f.report.Pool.Slots[0])}
			f.report.Pool.Slots[1].Member.Mode = state.Out
			f.serves("slot-003", "DOWN")
		},
		"No server is registered": func(f *fake) { f.report.Pool = state.NewPool(10) },
		"No server takes traffic": func(f *fake) {
			for i := range 3 {
				f.report.Pool.Slots[i].Member.Mode = state.Drain
			}
		},
		"HAProxy is not running":                             func(f *fake) { f.process = process.Status{} },
		"HAProxy is not running, where it is":                func(f *fake) { f.noAnswer(true, "x") },
		"HAProxy cannot be reached: x":                       func(f *fake) { f.noAnswer(false, "x") },
		"HAProxy's counters cannot be read: x":               func(f *fake) { f.err = errors.New("x") },
		"HAProxy does not follow: x":                         func(f *fake) { f.report.Error = "x" },
		"Drained servers cannot be told that they may go: x": func(f *fake) { f.report.AckError = "x" },
		"Consul has not answered yet":                        func(f *fake) { f.report.Consul = reconcile.ConsulReport{} },
		"Consul has not answered for 2 h 5 min": func(f *fake) {
			f.report.Consul = reconcile.ConsulReport{Since: noon.Add(-125 * time.Minute)}
		},
		"1 removal is held back by the guard": func(f *fake) { f.report.Held = make([]state.Change, 1) },
		"2 instances cannot be balanced":      func(f *fake) { f.report.Refused = make([]state.Refusal, 2) },
		"1 server is held out of rotation for other services than most have": func(f *fake) {
			f.report.Pool.Slots[2].Member.Mode = state.Out
			f.report.Parity = state.Parity{Majority: "a", Differing: []state.Differing{{Key: f.report.Pool.Slots[2].Member.Key, Held: true}}}
		},
		"2 servers have other services than most, and take traffic": func(f *fake) {
			f.report.Parity = state.Parity{Majority: "a", Differing: make([]state.Differing, 2)}
		},
		"The servers do not agree on their services: 2 have a, 2 have b": func(f *fake) {
			f.report.Parity = state.Parity{Groups: []state.ServicesGroup{{Services: "a", Servers: 2}, {Services: "b", Servers: 2}}}
		},
		"The certificate in /front.pem expires in 2 d 0 h": func(f *fake) {
			f.certificates = []haproxy.Certificate{{File: "/front.pem", NotBefore: noon.Add(-300 * day), NotAfter: noon.Add(2 * day)}}
		},
		"The certificate in /front.pem has expired": func(f *fake) {
			f.certificates = []haproxy.Certificate{{File: "/front.pem", NotBefore: noon.Add(-300 * day), NotAfter: noon}}
		},
		"The certificate file /front.pem is refused: no key": func(f *fake) {
			f.certificates = []haproxy.Certificate{{File: "/front.pem", Refused: "no key"}}
		},
		", where the certificates are young": func(f *fake) {
			f.certificates = []haproxy.Certificate{
				{File: "/year.pem", NotBefore: noon.Add(-300 * day), NotAfter: noon.Add(8 * day)},
				{File: "/day.pem", NotBefore: noon.Add(-12 * time.Hour), NotAfter: noon.Add(12 * time.Hour)},
			}
		},
		"The settings of HAProxy are not in effect: they were rolled back": func(f *fake) { f.rolledBack = noon.Add(-time.Hour) },
		"The front is stopped": func(f *fake) { f.stats.Frontend.Status = haproxy.Paused },
		"The front is full: 7 clients are connected": func(f *fake) {
			f.stats.Full, f.stats.Frontend.Sessions = true, 7
		},
		"7 requests wait in the queue": func(f *fake) { f.stats.Backend.Queue = 7 },
		"No slot is free":              func(f *fake) { f.report.Pool.Slots = f.report.Pool.Slots[:3] },
	} {
		t.Run(name, func(t *testing.T) {
			want, _, _ := strings.Cut(name, ", where")
			f := busy()
			change(f)
			var s Status
			if err := json.Unmarshal(f.at(t, "/status").Body.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
			if s.Healthy != (s.State != Down) || s.State == Down && len(s.Risks) == 0 {
				t.Errorf("%s, for which reason? %+v", s.State, s.Risks)
			}
			if want == "" {
				if len(s.Risks) > 0 || s.State != Well {
					t.Errorf("%s: %+v", s.State, s.Risks)
				}
				return
			}
			if len(s.Risks) != 1 || s.Risks[0].What != want || s.Risks[0].Means == "" || s.State == Well {
				t.Errorf("%s: %+v", s.State, s.Risks)
			}
		})
	}
}

func TestTheForecastOfFreeSlots(t *testing.T) {
	for name, c := range map[string]struct {
		minutes, before, used, free int
		want                        float64
	}{
		"growing":              {60, 10, 40, 30, 3600},
		"full":                 {60, 10, 40, 0, 0},
		"not growing":          {60, 10, 10, 30, math.Inf(1)},
		"shrinking":            {60, 10, 5, 30, math.Inf(1)},
		"newcomers at a start": {1, 0, 3, 7, 1400}, // over ten minutes, not over one
	} {
		t.Run(name, func(t *testing.T) {
			var g growth
			start := noon.Add(-time.Duration(c.minutes) * time.Minute)
			g.note(start, c.before)
			got := orInfinite(g.freeFor(noon, c.used, c.free))
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	var g growth
	if got := g.freeFor(noon, 3, 7); got != nil {
		t.Errorf("a forecast out of nothing: %v", *got)
	}
}

func TestTheForecastRemembersAnHour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g growth
		used := rapid.SliceOfN(rapid.IntRange(0, 50), 1, 200).Draw(t, "used")
		for i, n := range used {
			g.note(noon.Add(time.Duration(i)*time.Minute), n)
		}
		if n := len(g.samples); n > 61 || g.samples[n-1].used != used[len(used)-1] {
			t.Fatalf("%d samples", n)
		}
		now := noon.Add(time.Duration(len(used)) * time.Minute)
		free := rapid.IntRange(0, 50).Draw(t, "free")
		if forecast := orInfinite(g.freeFor(now, 25, free)); forecast < 0 || math.IsNaN(forecast) {
			t.Fatalf("%v", forecast)
		}
	})
}

func TestSamplesAreTakenUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g growth
		used := 3
		go g.watch(t.Context(), func() int { return used })
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if len(g.samples) != 2 || g.samples[1].used != 3 {
			t.Errorf("%+v", g.samples)
		}
	})
}

func TestSpansAreSaidAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 999 * time.Millisecond: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s",
		11 * time.Minute: "11 min", 61 * time.Minute: "1 h 1 min", 50 * time.Hour: "2 d 2 h", -time.Second: "0 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	if strings.Contains(span(time.Duration(math.MaxInt64)), "-") {
		t.Error("the longest span is negative")
	}
}
