package haproxy

import (
	"flag"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy/edit"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

var someServers = []Server{
	{Name: "slot-001", Address: "10.0.0.1", Port: 17010, Weight: 1, MaxConn: 4000, Admin: Ready, Note: "node/zato-server-1"},
	{Name: "slot-002", Address: "10.0.0.2", Port: 17010, Weight: 3, MaxConn: 4000, Admin: Maint, Note: "node/zato-server-2"},
	{Name: "slot-003", Address: "::1", Port: 17010, Weight: 0, Admin: Ready, Note: "node/zato-server-3"},
	{Name: "slot-004", Admin: Maint},
}

// allOptions is a front with all that is off by default.
func allOptions() Options {
	o := DefaultOptions()
	o.TLS = TLS{Bind: "0.0.0.0:11443", Certificate: "/etc/zatoha/my certs", RedirectPort: 443, HSTS: 365 * 24 * time.Hour}
	o.RateLimit = RateLimit{Requests: 100, Period: 10 * time.Second}
	o.AccessLog = "/dev/log"
	o.SlowStart = 5 * time.Second
	o.Yields = true
	o.TrustedProxies = []Network{{netip.MustParsePrefix("10.0.9.0/24")}, {netip.MustParsePrefix("fd00::1/128")}}
	return o
}

// otherOptions differ from the defaults in everything.
func otherOptions() Options {
	o := allOptions()
	o.Bind, o.TLS.MinVersion = "127.0.0.1:80", "TLSv1.3"
	o.StatsSocket, o.EventSocket, o.RelaySocket = "/run/lb/stats", "/run/lb/events", "/run/lb/relay"
	o.CheckURI, o.HidePaths, o.HeaderNames = "/health", []string{"/admin"}, preserveNames
	o.BufferSize, o.MaxConn, o.QueueLimit, o.SlotMaxConn = 16<<10, 500, 50, 40
	o.BufferRequest, o.Retries, o.RetryOn = false, 1, []string{connFailure, "425", "503"}
	o.RequestTimeout, o.ClientTimeout, o.KeepAliveTimeout = 5*time.Second, 20*time.Second, 15*time.Second
	o.QueueTimeout, o.ConnectTimeout, o.ServerTimeout, o.TunnelTimeout = 2*time.Second, time.Second, 3*time.Minute, 24*time.Hour
	o.CheckInterval, o.CheckFastInterval, o.CheckDownInterval = time.Second, 500*time.Millisecond, 3*time.Second
	o.CheckTimeout, o.CheckFall, o.CheckRise, o.HardStop = 700*time.Millisecond, 3, 5, time.Hour
	return o
}

func TestTheOtherOptionsDifferInEverything(t *testing.T) {
	var same func(path string, a, b reflect.Value)
	same = func(path string, a, b reflect.Value) {
		for i := range a.NumField() {
			name := path + a.Type().Field(i).Name
			if field := a.Field(i); field.Type() == reflect.TypeFor[TLS]() {
				same(name+".", field, b.Field(i))
			} else if reflect.DeepEqual(field.Interface(), b.Field(i).Interface()) {
				t.Errorf("%s is %v in both", name, field)
			}
		}
	}
	same("", reflect.ValueOf(otherOptions()), reflect.ValueOf(DefaultOptions()))
}

// TestTheShippedFile shows the whole configuration: by default, with everything on, and with everything different.
func TestTheShippedFile(t *testing.T) {
	for golden, options := range map[string]Options{
		"testdata/default.cfg": DefaultOptions(),
		"testdata/all.cfg":     allOptions(),
		"testdata/other.cfg":   otherOptions(),
	} {
		if options.StatsSocket == "" {
			options.StatsSocket, options.EventSocket = "/run/zatoha/haproxy-stats.sock", "/run/zatoha/haproxy-events.sock"
			options.RelaySocket = "/run/zatoha/haproxy-relay.sock"
		}
		got, err := edit.Apply("", options.Sections(someServers))
		if err != nil {
			t.Fatal(err)
		}
		isGolden(t, golden, got)
	}
}

func TestWhatIsNotToBeSentAgainIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		choose        func(*Options)
		there, absent []string
	}{
		"without retries": {func(o *Options) { o.Retries = 0 }, []string{" retries 0 #"}, []string{"retry-on", "redispatch"}},
		"once sent":       {func(o *Options) { o.RetryOn = []string{connFailure} }, []string{" retry-on conn-failure #", "redispatch 1"}, nil},
	} {
		options := DefaultOptions()
		c.choose(&options)
		text, err := edit.Apply("", options.Sections(someServers))
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range append(c.there, "zatoha then 504") {
			if !strings.Contains(text, words) {
				t.Errorf("%s: no %q in\n%s", name, words, text)
			}
		}
		for _, words := range append(c.absent, "l7-retry", "sent again") {
			if strings.Contains(strings.ReplaceAll(text, "nothing is sent again", ""), words) {
				t.Errorf("%s: there is %q in\n%s", name, words, text)
			}
		}
	}
}

func TestARuntimeSocketIsOursOnlyWithAPath(t *testing.T) {
	text, err := edit.Apply("", DefaultOptions().Sections(someServers))
	if err != nil || strings.Contains(text, "stats ") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestASlotsLimitHoldsForAllThatHaveNoneOfTheirOwn(t *testing.T) {
	options := DefaultOptions()
	options.SlotMaxConn = 70
	text, err := edit.Apply("", options.Sections(someServers))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"fall 2 rise 2 maxconn 70 on-marked-down", "slot-001 10.0.0.1:17010 weight 1 maxconn 4000 #", "slot-003 [::1]:17010 weight 0 maxconn 0 #",
		"slot-004 127.0.0.1:1 disabled #",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
	sections, err := edit.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	if servers, err := ReadServers(sections); err != nil || !slices.Equal(servers, someServers) {
		t.Errorf("%v, read back as\n%+v", err, servers)
	}
}

func TestServersReadBackAsTheyWereWritten(t *testing.T) {
	text, err := edit.Apply("", DefaultOptions().Sections(someServers))
	if err != nil {
		t.Fatal(err)
	}
	sections, err := edit.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadServers(sections)
	if err != nil || !slices.Equal(got, someServers) {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestABackendWithoutANameHasNoneOfOurServers(t *testing.T) {
	sections, err := edit.Read("backend # zatoha\n    server slot-001 127.0.0.1:1 # zatoha\n")
	if err != nil {
		t.Fatal(err)
	}
	if servers, err := ReadServers(sections); err != nil || len(servers) != 0 || len(sections) != 1 {
		t.Errorf("of %+v: %+v, %v", sections, servers, err)
	}
}

func TestOnlyWhatMattersDiffers(t *testing.T) {
	server := someServers[0]
	free := Server{Name: "slot-001", Admin: Maint}
	change := func(f func(*Server)) Server { s := server; f(&s); return s }
	for name, c := range map[string]struct {
		want, running Server
		differs       bool
	}{
		"the same":                {server, change(func(s *Server) { s.Note = "" }), false},
		"another address":         {server, change(func(s *Server) { s.Address = "10.0.0.9" }), true},
		"another port":            {server, change(func(s *Server) { s.Port = 1 }), true},
		"another weight":          {server, change(func(s *Server) { s.Weight = 2 }), true},
		"another limit":           {server, change(func(s *Server) { s.MaxConn = 2 }), true},
		"another state":           {server, change(func(s *Server) { s.Admin = Drain }), true},
		"free, at some address":   {free, change(func(s *Server) { s.Admin = Maint }), false},
		"free, and takes traffic": {free, server, true},
	} {
		if got := c.want.Differs(c.running); got != c.differs {
			t.Errorf("%s: %v", name, got)
		}
	}
}
