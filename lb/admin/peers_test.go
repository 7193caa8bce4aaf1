package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/lb/peers"
)

func TestAnotherLoadBalancerThatDivergesIsARisk(t *testing.T) {
	f := healthy()
	handler := New(Options{Peers: func() peers.Report {
		return peers.Report{Others: []peers.Peer{{ID: "lb-2", Index: 3, Differs: true}, {ID: "lb-3", Index: 9, Diverges: true}}}
	}}, f, f, prometheus.NewRegistry(), zerolog.Nop()).Handler()
	for path, want := range map[string][]string{
		"/status":  {`"id": "lb-2"`, `"what": "Load balancer lb-3 sends traffic to other servers than this one"`, `"what": "Load balancer lb-2 has other settings than this one"`},
		"/metrics": {`zatoha_lb_peer_diverges{peer="lb-2"} 0`, `zatoha_lb_peer_diverges{peer="lb-3"} 1`, `zatoha_lb_peer_settings_differ{peer="lb-2"} 1`, `zatoha_lb_peer_settings_differ{peer="lb-3"} 0`},
	} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		for _, text := range want {
			if !strings.Contains(recorder.Body.String(), text) {
				t.Errorf("%s does not say %s:\n%s", path, text, recorder.Body)
			}
		}
		if strings.Contains(recorder.Body.String(), "lb-2 sends") || strings.Contains(recorder.Body.String(), "lb-3 has") {
			t.Errorf("%s: one that is in step is called a risk", path)
		}
	}
}

// Without Consul nobody can be told or heard, which is a risk of its own.
func TestThatLoadBalancersDoNotHearOfEachOtherIsARisk(t *testing.T) {
	f := healthy()
	handler := New(Options{Peers: func() peers.Report {
		return peers.Report{Exchange: peers.Exchange{WriteError: "403", WriteFailures: 7, ReadError: "filtered", ReadFailures: 9}}
	}}, f, f, prometheus.NewRegistry(), zerolog.Nop()).Handler()
	says := func(path string, want bool, lines ...string) {
		t.Helper()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		for _, text := range lines {
			if strings.Contains(recorder.Body.String(), text) != want {
				t.Errorf("%s says %s: %v\n%s", path, text, !want, recorder.Body)
			}
		}
	}
	risks := []string{
		`"what": "Other load balancers cannot be told what this one has applied: 403"`,
		`"what": "What other load balancers have applied cannot be read: filtered"`,
	}
	says("/status", true, append(risks, `"write_error": "403"`, `"read_failures_total": 9`)...)
	says("/metrics", true, `zatoha_lb_peer_word_failures_total{what="write"} 7`, `zatoha_lb_peer_word_failures_total{what="read"} 9`)
	f.report.Consul.Reachable = false
	says("/status", false, risks...)
}
