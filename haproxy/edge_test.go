package haproxy

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/haproxy/edit"
)

var someClusters = []Cluster{
	{Name: "a", Address: "10.0.1.1:11223"},
	{Name: "b", Address: "10.0.2.1:11223"},
}

// edges are an outer load balancer in each of its forms.
func edges() map[string]Edge {
	active, standby := DefaultEdge(), DefaultEdge()
	active.Clusters = someClusters
	standby.Clusters = []Cluster{someClusters[0], {Name: "b", Address: "[fd00::1]:11223"}}
	standby.Standby = true
	standby.TLS = TLS{Bind: "0.0.0.0:443", Certificate: "/etc/zatoha/front.pem", RedirectPort: 443}
	standby.AdminListen, standby.StateFile, standby.MetricsListen = "10.0.9.1:9999", "/var/lib/zatoha-edge/state", ""
	return map[string]Edge{"testdata/edge-active.cfg": active, "testdata/edge-standby.cfg": standby}
}

func TestTheOuterFile(t *testing.T) {
	for golden, edge := range edges() {
		got, err := edit.Apply("", edge.Sections())
		if err != nil {
			t.Fatal(err)
		}
		isGolden(t, golden, got)
	}
}

func TestAnOuterLoadBalancerRepeatsByTheRuleOfTheInner(t *testing.T) {
	inner, outer := DefaultOptions().backend(nil), edges()["testdata/edge-active.cfg"].backend()
	for _, line := range inner.Lines {
		if strings.Contains(line.Text, "l7-retry") && !slices.Contains(outer.Lines, line) {
			t.Errorf("%q is the rule within a cluster, and outside it is\n%v", line.Text, outer.Lines)
		}
	}
}

func TestAnOuterLoadBalancerWaitsUntilAClusterHasTriedAll(t *testing.T) {
	if inner, outer := DefaultOptions().LongestAnswer(), DefaultEdge().ServerTimeout; outer <= inner {
		t.Errorf("it waits %v, and a cluster may take %v", outer, inner)
	}
}

func TestAClusterComesBackWhenItHasBeenWellForAWhile(t *testing.T) {
	for after, rise := range map[time.Duration]string{2 * time.Second: " rise 40 ", 0: " rise 2 ", 75 * time.Millisecond: " rise 2 ", time.Minute: " rise 1200 "} {
		edge := DefaultEdge()
		edge.Clusters, edge.ReturnAfter = someClusters, after
		text, err := edit.Apply("", edge.Sections())
		if err != nil || !strings.Contains(text, rise) {
			t.Errorf("after %v: %v: no %q in\n%s", after, err, rise, text)
		}
	}
}

func TestAnOuterLoadBalancerHasTheChosenDirectives(t *testing.T) {
	edge := DefaultEdge()
	edge.Clusters, edge.HeaderNames, edge.BufferRequest, edge.RetryOn = someClusters, deleteNames, false, []string{connFailure, "503"}
	edge.CheckFall, edge.CheckRise, edge.CheckFastInterval, edge.CheckDownInterval = 4, 9, 100*time.Millisecond, time.Second
	text, err := edit.Apply("", edge.Sections())
	if err != nil || strings.Contains(text, "http-buffer-request") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, line := range []string{
		"option http-restrict-req-hdr-names delete ", "retry-on conn-failure 503 #", "inter 250ms fastinter 100ms downinter 1000ms fall 4 rise 20 maxconn",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
}

func TestNetworksAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "10.0.0.0/24": "10.0.0.0/24", "::1": "::1/128", "fd00::/8": "fd00::/8", "::ffff:10.0.0.1": "10.0.0.1/32",
		"": "", "10.0.0.1/24": "", "lb": "", "10.0.0.1:80": "", "0.0.0.0/0": "", "::/0": "", "fe80::1%eth0": "", "10.0.0.0/33": "",
	} {
		var got Network
		err := got.UnmarshalText([]byte(text))
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), text)):
			t.Errorf("%q: read as %v, %v", text, got, err)
		case want != "" && (err != nil || got.String() != want):
			t.Errorf("%q: read as %v, %v", text, got, err)
		}
	}
}

// isGolden compares a text with a file, or rewrites that.
func isGolden(t *testing.T, golden, got string) {
	t.Helper()
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
		t.Errorf("not %s; if the new text is right, run go test ./haproxy -update\n%s", golden, got)
	}
}
