package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy/edit"
)

// Whatever somebody makes of a server line, what the running HAProxy cannot be told is another structure.
func TestTheStructureHasWhatOfAServerTakesAReload(t *testing.T) {
	structure := func(line string) string {
		return Structure([]edit.Section{{Header: "backend " + Backend, Lines: []edit.Line{{Text: "balance roundrobin"}, {Text: line}}}})
	}
	ours := structure("server slot-001 127.0.0.1:1 disabled")
	for _, line := range []string{
		"server slot-001 10.0.0.1:80", "server slot-001 10.0.0.1:80 weight 7 maxconn 3 disabled", "server\tslot-001  [::1]:80 maxconn 3 weight 7",
	} {
		if structure(line) != ours {
			t.Errorf("%q is taken for another structure", line)
		}
	}
	for _, line := range []string{
		"server slot-002 127.0.0.1:1 disabled", "server slot-001 127.0.0.1:1 disabled backup", "server slot-001 127.0.0.1:1 backup weight 1",
		"server slot-001 127.0.0.1:1 weight 1 check inter 9s", "server slot-001 127.0.0.1:1 weight", "server", "\u00a0",
	} {
		if structure(line) == ours {
			t.Errorf("%q is not seen", line)
		}
	}
}

// Files, running HAProxys and what a rollback remembers have the structure as releases named it that looked at no more of
// any server line than its name.
func TestWhatNobodyEditedHasTheStructureOfOlderReleases(t *testing.T) {
	for _, golden := range []string{"testdata/default.cfg", "testdata/all.cfg", "testdata/other.cfg"} {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		sections, err := edit.Read(string(text))
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		for _, section := range sections {
			fmt.Fprintln(hash, section.Header)
			for _, line := range section.Lines {
				if words := strings.Fields(line.Text); words[0] == "server" {
					line.Text = words[0] + " " + words[1]
				}
				fmt.Fprintln(hash, line.Text)
			}
		}
		if got, want := Structure(sections), hex.EncodeToString(hash.Sum(nil)[:8]); got != want {
			t.Errorf("%s: %s, and was %s", golden, got, want)
		}
	}
	relay := func(line string) string {
		return Structure([]edit.Section{{Header: "backend " + relayBackend, Lines: []edit.Line{{Text: line}}}})
	}
	if relay("server") == relay("server newest unix@/run/relay.sock") {
		t.Error("that the relay has lost its name is not seen")
	}
}

func TestLoadBalancersOfOneClusterShareAllButWhatIsAMachinesOwn(t *testing.T) {
	options := func(change func(*Options)) Options {
		o := DefaultOptions()
		o.TLS = TLS{Bind: "10.0.0.1:443", Certificate: "/etc/a.pem"}
		o.AccessLog = "/dev/log"
		change(&o)
		return o
	}
	ours := options(func(*Options) {}).Shared()
	for what, change := range map[string]func(*Options){
		"address":      func(o *Options) { o.Bind, o.TLS.Bind = "10.0.0.2:80", "10.0.0.2:443" },
		"certificate":  func(o *Options) { o.TLS.Certificate = "/srv/b.pem" },
		"sockets":      func(o *Options) { o.StatsSocket, o.EventSocket = "/run/a", "/run/b" },
		"place of log": func(o *Options) { o.AccessLog = "stdout" },
	} {
		if options(change).Shared() != ours {
			t.Errorf("another %s is taken for another setting", what)
		}
	}
	for what, change := range map[string]func(*Options){
		"time-out":   func(o *Options) { o.ServerTimeout += time.Second },
		"rate limit": func(o *Options) { o.RateLimit = RateLimit{Requests: 100, Period: time.Second} },
		"TLS":        func(o *Options) { o.TLS = TLS{} },
		"access log": func(o *Options) { o.AccessLog = "off" },
		"limit":      func(o *Options) { o.SlotMaxConn = 7 },
		"yield":      func(o *Options) { o.Yields = true },
		"oldest TLS": func(o *Options) { o.TLS.MinVersion = "TLSv1.3" },
		"names":      func(o *Options) { o.HeaderNames = deleteNames },
		"buffering":  func(o *Options) { o.BufferRequest = false },
		"retry-on":   func(o *Options) { o.RetryOn = []string{connFailure} },
		"retries":    func(o *Options) { o.Retries = 0 },
		"fastinter":  func(o *Options) { o.CheckFastInterval = time.Millisecond },
		"downinter":  func(o *Options) { o.CheckDownInterval = time.Second },
		"fall":       func(o *Options) { o.CheckFall = 3 },
		"rise":       func(o *Options) { o.CheckRise = 3 },
	} {
		if options(change).Shared() == ours {
			t.Errorf("another %s is not seen", what)
		}
	}
}
