// Package prometheus has the scrape configuration and the alarms that we ship, and their tests.
//
// One case: all servers of a cluster fail. The load balancer's metric zatoha_lb_servers_in_rotation is 0 at the next
// scrape; five seconds later the alarm ZatoNoServer fires, and its runbook is the line of deploy/README.md that says what
// it means and what to do. Each warning of the status page has such an alarm: a test compares the two.
package prometheus

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"zatoha/deploy/tools/find"
)

type rule struct {
	Alert       string            `yaml:"alert" json:"alert"`
	Expr        string            `yaml:"expr" json:"expr"`
	For         string            `yaml:"for" json:"for,omitempty"`
	Labels      map[string]string `yaml:"labels" json:"labels"`
	Annotations map[string]string `yaml:"annotations" json:"annotations"`
}

const alerts = "zatoha-alerts.yml"

func rules(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// warnings are what the status page warns of: the longest text that is fixed, or else the expression that makes it.
func warnings(t *testing.T) (all []string) {
	t.Helper()
	files := token.NewFileSet()
	for _, name := range []string{"risks.go", "certificates.go", "connectors.go"} {
		syntax, err := parser.ParseFile(files, filepath.Join("../../lb/admin", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(syntax, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if function, ok := call.Fun.(*ast.Ident); ok && function.Name == "risk" {
				all = append(all, fixed(files, call.Args[1]))
			}
			return true
		})
	}
	return all
}

func fixed(files *token.FileSet, expression ast.Expr) (longest string) {
	ast.Inspect(expression, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && len(text) > len(longest) {
				longest = text
			}
		}
		return true
	})
	if longest == "" {
		var text strings.Builder
		_ = printer.Fprint(&text, files, expression)
		return text.String()
	}
	return longest
}

func TestEachWarningOfTheStatusPageHasAnAlarm(t *testing.T) {
	t.Parallel()
	all, told := warnings(t), rules(t)
	if len(all) < 20 {
		t.Fatalf("found only %q", all)
	}
	for _, warning := range all {
		found := false
		for _, rule := range told {
			for part := range strings.SplitSeq(rule.Annotations["status_page"], "|") {
				found = found || part != "" && strings.Contains(warning, part)
			}
		}
		if !found {
			t.Errorf("the status page warns of %q, and no alarm says so in its annotation status_page", warning)
		}
	}
}

func TestEachAlarmSaysWhatToDo(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, rule := range rules(t) {
		anchor := strings.ToLower(rule.Alert)
		if rule.Annotations["runbook"] != "deploy/README.md#"+anchor || rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s has %v, %v", rule.Alert, rule.Annotations, rule.Labels)
		}
		if n := strings.Count(string(readme), `<a id="`+anchor+`"></a>`); n != 1 {
			t.Errorf("deploy/README.md has %d lines about %s", n, rule.Alert)
		}
		if known[rule.Alert] {
			t.Errorf("%s is there twice", rule.Alert)
		}
		known[rule.Alert] = true
	}
	for part := range strings.SplitSeq(string(readme), `<a id="zato`) {
		if name, _, is := strings.Cut(part, `"></a>`); is && len(name) < 40 {
			for alert := range known {
				if strings.ToLower(alert) == "zato"+name {
					name = ""
				}
			}
			if name != "" {
				t.Errorf("deploy/README.md is about an alarm zato%s that is not there", name)
			}
		}
	}
}

func promtool(t *testing.T) string {
	t.Helper()
	path, err := find.FindPromtool()
	if err == nil {
		return path
	}
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skipf("NOT RUN: %v", err)
	}
	t.Fatal(err)
	return ""
}

func TestPrometheusTakesTheConfiguration(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	for _, check := range [][]string{{"check", "rules", alerts}, {"check", "config", "prometheus-static.yml"}, {"check", "config", withoutConsul(t)}} {
		if output, err := exec.Command(tool, check...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", check, err, output)
		}
	}
}

// Each alarm fires when it should, and only then.
func TestAlarmsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	tool, told := promtool(t), map[string]rule{}
	for _, rule := range rules(t) {
		told[rule.Alert] = rule
	}
	dir := t.TempDir()
	arguments := []string{"test", "rules"}
	tried := map[string]bool{}
	for i, e := range examples {
		raised, known := told[e.alert]
		if !known {
			t.Errorf("there is no alarm %s", e.alert)
		}
		tried[e.alert] = true
		labels := map[string]string{"severity": raised.Labels["severity"]}
		for name, value := range e.labels {
			labels[name] = value
		}
		firing := []any{map[string]any{"exp_labels": labels, "exp_annotations": raised.Annotations}}
		// One rule a file: promtool tries all rules of a file for each case.
		alone := fmt.Sprintf("%d-rule.yml", i)
		writeJSON(t, filepath.Join(dir, alone), map[string]any{"groups": []any{map[string]any{"name": e.alert, "rules": []rule{told[e.alert]}}}})
		cases := filepath.Join(dir, fmt.Sprintf("%d-cases.yml", i))
		writeJSON(t, cases, map[string]any{
			"rule_files": []string{alone}, "evaluation_interval": "5s",
			"tests": []any{e.test("fires", e.fires, firing), e.test("is quiet", e.quiet, []any{})},
		})
		arguments = append(arguments, cases)
	}
	for alert := range told {
		if !tried[alert] {
			t.Errorf("nothing is known to raise %s", alert)
		}
	}
	if output, err := exec.Command(tool, arguments...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// writeJSON writes a file of JSON, which is YAML too.
func writeJSON(t *testing.T, path string, value any) {
	t.Helper()
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// example is what raises an alarm, and what is like it and does not, after a quarter of an hour with a value each 5 s, or
// after three quarters if the alarm has more patience than that.
type example struct {
	alert        string
	fires, quiet map[string]string // values, in Prometheus's notation, by series
	labels       map[string]string // of the alarm, beside its severity
}

// patient are the alarms that wait for longer.
var patient = []string{"ZatoClusterDrained", "ZatoYieldForgotten", "ZatoRolledBack"}

func (e example) test(name string, series map[string]string, want []any) map[string]any {
	var input []map[string]string
	for metric, values := range series {
		input = append(input, map[string]string{"series": metric, "values": values})
	}
	at := "15m"
	if slices.Contains(patient, e.alert) {
		at = "45m"
	}
	return map[string]any{
		"name": fmt.Sprintf("%s %s", e.alert, name), "interval": "5s", "input_series": input,
		"alert_rule_test": []any{map[string]any{"eval_time": at, "alertname": e.alert, "exp_alerts": want}},
	}
}

// is is an example of one series of a load balancer, connector host or server that has a value, or another.
func is(alert, metric string, bad, good string, labels ...string) example {
	own := map[string]string{"instance": "one"}
	text := `instance="one"`
	for i := 0; i < len(labels); i += 2 {
		own[labels[i]] = labels[i+1]
		text += fmt.Sprintf(",%s=%q", labels[i], labels[i+1])
	}
	series := metric + "{" + text + "}"
	return example{alert, map[string]string{series: bad}, map[string]string{series: good}, own}
}

// heard is an example of attempts to tell or to read a word that fail while Consul answers, and of such a count, and such
// a Consul, that raise nothing.
func heard(what, quiet, consul string) example {
	words := fmt.Sprintf(`zatoha_lb_peer_word_failures_total{cluster="main",instance="one",what=%q}`, what)
	up := `zatoha_lb_consul_up{cluster="main",instance="one"}`
	return example{
		"ZatoPeersUnheard",
		map[string]string{words: "0+5x180", up: steady("1")},
		map[string]string{words: quiet, up: consul},
		map[string]string{"cluster": "main", "instance": "one", "what": what},
	}
}

// addressed is an example of where two load balancers have the virtual address, beside those of another cluster.
func addressed(alert string, bad, good [2]string) example {
	series := func(values [2]string) map[string]string {
		return map[string]string{
			`zatoha_lb_virtual_address{address="10.0.0.100",cluster="main",instance="a"}`: values[0],
			`zatoha_lb_virtual_address{address="10.0.0.100",cluster="main",instance="b"}`: values[1],
			`zatoha_lb_virtual_address{address="10.0.0.100",cluster="b",instance="a"}`:    steady("1"),
		}
	}
	return example{alert, series(bad), series(good), map[string]string{"address": "10.0.0.100", "cluster": "main"}}
}

// steady is a value that stays.
func steady(value string) string { return value + "x180" }

// rising is a counter that goes up in the last minute.
func rising(to string) string { return "0x170 " + to + "x10" }

var one = map[string]string{"instance": "one"}

var examples = []example{
	is("ZatoNoServer", "zatoha_lb_servers_in_rotation", steady("0"), steady("1")),
	is("ZatoNoServer", "zatoha_lb_servers_in_rotation", steady("0"), "0x100 stale"), // since then nothing is known of it
	is("ZatoOneServerLeft", "zatoha_lb_servers_in_rotation", steady("1"), steady("2")),
	is("ZatoServersFailing", "zatoha_lb_servers_failing", steady("1"), steady("0")),
	is("ZatoHAProxyDown", "zatoha_lb_haproxy_up", steady("0"), steady("1")),
	is("ZatoHAProxyDown", "zatoha_lb_haproxy_up", steady("0"), "1x100 stale"), // its Data Plane API does not answer
	is("ZatoFrontStopped", "zatoha_lb_front_open", steady("0"), "1x179 0x1"),  // the controller has not looked yet
	is("ZatoFrontFull", "zatoha_lb_front_full", steady("1"), steady("0")),
	is("ZatoHAProxyRestarted", "zatoha_lb_haproxy_restarts_total", rising("1"), steady("3")),
	{
		"ZatoHAProxyCountersMissing",
		map[string]string{`zatoha_lb_haproxy_up{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_haproxy_up{instance="one"}`: steady("1"), `zatoha_lb_haproxy_backend_sessions{instance="one",proxy="b"}`: steady("0")},
		one,
	},
	{ // machines of two clusters may have one name
		"ZatoHAProxyCountersMissing", map[string]string{
			`zatoha_lb_haproxy_up{cluster="a",instance="one"}`: steady("1"), `zatoha_lb_haproxy_backend_sessions{cluster="b",instance="one",proxy="b"}`: steady("0"),
		}, map[string]string{
			`zatoha_lb_haproxy_up{cluster="a",instance="one"}`: steady("1"), `zatoha_lb_haproxy_backend_sessions{cluster="a",instance="one",proxy="b"}`: steady("0"),
		}, map[string]string{"cluster": "a", "instance": "one"},
	},
	is("ZatoLogIncomplete", "zatoha_lb_haproxy_dropped_logs_total", rising("2"), steady("2")),
	is("ZatoDataPlaneDown", "zatoha_lb_data_plane_up", steady("0"), steady("1"), "kind", "embedded"),
	is("ZatoNotInSync", "zatoha_lb_in_sync", steady("0"), steady("1")),
	is("ZatoDrainsUntold", "zatoha_lb_acknowledgement_failures_total", rising("6"), rising("1")),
	is("ZatoConsulAway", "zatoha_lb_consul_up", steady("0"), "1x176 0x4"), // 20 s are not yet told
	is("ZatoGuardHolds", "zatoha_lb_guard_held", steady("2"), steady("0")),
	is("ZatoInstancesRefused", "zatoha_lb_servers_refused", steady("1"), steady("0")),
	is("ZatoServersHeldOut", "zatoha_lb_servers_differing", steady("1"), "0x100 1x80", "held", "true"), // an upgrade
	is("ZatoServersDiffer", "zatoha_lb_servers_differing", steady("1"), "0x100 1x80", "held", "false"),
	is("ZatoNoMajority", "zatoha_lb_services_majority", steady("0"), "1x100 0x80"),
	is("ZatoPeersDiverge", "zatoha_lb_peer_diverges", steady("1"), steady("0"), "peer", "other"),
	is("ZatoPeerSettingsDiffer", "zatoha_lb_peer_settings_differ", steady("1"), "0x100 1x80", "peer", "other"), // an upgrade
	heard("write", steady("40"), steady("1")),
	heard("write", "0+5x180", steady("0")),       // told by ZatoConsulAway
	heard("read", "0+5x160 805x20", steady("1")), // for a moment Consul was away
	addressed("ZatoNoVirtualAddress", [2]string{steady("0"), steady("0")}, [2]string{steady("0"), steady("1")}),
	addressed("ZatoNoVirtualAddress", [2]string{steady("0"), "1x100 stale"}, [2]string{"1x178 0x2", steady("0")}), // its machine died; it moves
	addressed("ZatoVirtualAddressTwice", [2]string{steady("1"), "0x100 1x80"}, [2]string{steady("1"), "0x178 1x2"}),
	addressed("ZatoVirtualAddressTwice", [2]string{steady("1"), steady("1")}, [2]string{steady("1"), "1x100 stale"}),
	is("ZatoRolledBack", "zatoha_lb_rolled_back", "1x540", "0x300 1x240"),
	is("ZatoYieldForgotten", "zatoha_lb_virtual_address_yielded", "1x540", "0x300 1x240", "address", "10.0.0.100"), // work on the machine
	is("ZatoCertificateExpires", "zatoha_lb_certificate_due", steady("1"), steady("0"), "file", "/front.pem"),
	is("ZatoCertificateRefused", "zatoha_lb_certificate_refused", steady("1"), "0x175 1x5", "file", "/front.pem"), // it is being written
	is("ZatoRequestsQueue", "zatoha_lb_haproxy_backend_queue", steady("3"), steady("0"), "proxy", "b"),
	is("ZatoSlotsShort", "zatoha_lb_slots", steady("0"), steady("3"), "use", "free"),
	is("ZatoSlotsShort", "zatoha_lb_slots_free_for_seconds", steady("1800"), steady("99999")),
	{
		"ZatoErrors", map[string]string{
			`zatoha_lb_haproxy_frontend_responses_total{instance="one",proxy="f",code="5xx"}`: "0+2x180",
			`zatoha_lb_haproxy_frontend_requests_total{instance="one",proxy="f"}`:             "0+100x180",
		}, map[string]string{
			`zatoha_lb_haproxy_frontend_responses_total{instance="one",proxy="f",code="5xx"}`: "0+1x180",
			`zatoha_lb_haproxy_frontend_requests_total{instance="one",proxy="f"}`:             "0+100x180",
		}, one,
	},

	{ // a takeover
		"ZatoNoConnectorHost",
		map[string]string{`zatoha_lb_connectorhost_active{instance="one"}`: steady("0"), `zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_connectorhost_active{instance="one"}`: "1x178 0x2", `zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("1")},
		one,
	},
	{ // the lease was read, and now it cannot be
		"ZatoNoConnectorHost",
		map[string]string{`zatoha_lb_connectorhost_active{instance="one"}`: steady("0"), `zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_connectorhost_active{instance="one"}`: steady("0"), `zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("0")},
		one,
	},
	{
		"ZatoTwoConnectorHosts",
		map[string]string{`zatoha_connectorhost_active{instance="a"}`: steady("1"), `zatoha_connectorhost_active{instance="b"}`: steady("1")},
		map[string]string{`zatoha_connectorhost_active{instance="a"}`: steady("1"), `zatoha_connectorhost_active{instance="b"}`: steady("0")},
		nil,
	},
	{
		"ZatoTwoConnectorHosts", map[string]string{
			`zatoha_connectorhost_active{cluster="one",instance="a"}`: steady("1"),
			`zatoha_connectorhost_active{cluster="two",instance="b"}`: steady("1"),
			`zatoha_connectorhost_active{cluster="two",instance="c"}`: steady("1"),
		}, map[string]string{
			`zatoha_connectorhost_active{cluster="one",instance="a"}`: steady("1"),
			`zatoha_connectorhost_active{cluster="two",instance="b"}`: steady("1"),
			`zatoha_connectorhost_active{cluster="two",instance="c"}`: steady("0"),
		}, map[string]string{"cluster": "two"},
	},
	{
		"ZatoNoStandby",
		map[string]string{`zatoha_lb_connectorhosts{instance="one",role="standby"}`: steady("0"), `zatoha_lb_connectorhost_active{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_connectorhosts{instance="one",role="standby"}`: steady("0"), `zatoha_lb_connectorhost_active{instance="one"}`: steady("0")},
		map[string]string{"instance": "one", "role": "standby"},
	},
	{
		"ZatoConnectorHostSilent",
		map[string]string{`zatoha_lb_connectorhost_answers{instance="one"}`: steady("0"), `zatoha_lb_connectorhost_active{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_connectorhost_answers{instance="one"}`: steady("0"), `zatoha_lb_connectorhost_active{instance="one"}`: steady("0")},
		one,
	},
	{
		"ZatoLeaseUnreadable",
		map[string]string{`zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("0"), `zatoha_lb_consul_up{instance="one"}`: steady("1")},
		map[string]string{`zatoha_lb_connectorhost_lease_known{instance="one"}`: steady("0"), `zatoha_lb_consul_up{instance="one"}`: steady("0")},
		one,
	},
	is("ZatoLeaseFailing", "zatoha_connectorhost_lease_failing", steady("1"), steady("0")),
	is("ZatoTakeovers", "zatoha_lb_connectorhost_epoch", "1x30 2x30 3x30 4x30 5x60", "1x100 2x80"),
	is("ZatoConnectorDown", "zatoha_lb_connector_up", steady("0"), steady("1"), "connector", "orders", "kind", "amqp", "role", "channel"),
	is("ZatoConnectorRestarts", "zatoha_connectorhost_connector_restarts_total", rising("5"), rising("2"), "connector", "orders"),
	is("ZatoConnectorsRefused", "zatoha_lb_connector_definitions_refused", steady("1"), steady("0")),
	is("ZatoMessagesParked", "zatoha_connectorhost_connector_counter", rising("1"), steady("7"), "connector", "orders", "counter", "parked"),
	is("ZatoMessagesDropped", "zatoha_connectorhost_connector_counter", rising("1"), steady("7"), "connector", "ticks", "counter", "dropped"),

	is("ZatoChannelsRefused", "zato_server_channels", steady("1"), steady("0"), "state", "refused"),
	is("ZatoServerBusy", "zato_server_requests_refused_busy_total", "0+1x180", steady("9")),
	is("ZatoServicesOverdue", "zato_server_services_overdue_total", rising("1"), steady("9")),
	is("ZatoApplicationDown", "zato_server_upstream_up", steady("0"), steady("1")),
	is("ZatoStaleEpoch", "zato_server_invocations_total", rising("1"), steady("1"), "what", "stale"),
	is("ZatoInvocationsRefused", "zato_server_invocations_total", rising("1"), steady("1"), "what", "refused"),

	is("ZatoEdgeDown", "up", steady("0"), steady("1"), "job", "zato-edge"),
	is("ZatoNoCluster", "haproxy_backend_active_servers", steady("0"), steady("1"), "job", "zato-edge", "proxy", "bck_clusters"),
	is("ZatoClusterDown", "haproxy_server_status", steady("1"), steady("0"), "job", "zato-edge", "proxy", "bck_clusters", "server", "b", "state", "DOWN"),
	is("ZatoClusterDrained", "haproxy_server_status", "1x540", "0x300 1x240", "job", "zato-edge", "proxy", "bck_clusters", "server", "b", "state", "DRAIN"), // an upgrade
	is("ZatoClusterDrained", "haproxy_server_status", "1x540", "0x540", "job", "zato-edge", "proxy", "bck_clusters", "server", "b", "state", "MAINT"),
	{
		"ZatoClusterFails", map[string]string{
			`haproxy_server_retry_warnings_total{instance="one",job="zato-edge",proxy="bck_clusters",server="a"}`: steady("7"),
			`haproxy_server_retry_warnings_total{instance="one",job="zato-edge",proxy="bck_clusters",server="b"}`: "0+2x180",
			`haproxy_frontend_http_requests_total{instance="one",job="zato-edge",proxy="front_edge"}`:             "0+100x180",
			`haproxy_frontend_http_requests_total{instance="one",job="zato-edge",proxy="front_edge_metrics"}`:     "0+1x180",
		}, map[string]string{
			`haproxy_server_retry_warnings_total{instance="one",job="zato-edge",proxy="bck_clusters",server="a"}`: "0+1x180",
			`haproxy_server_retry_warnings_total{instance="one",job="zato-edge",proxy="bck_clusters",server="b"}`: "0+1x180",
			`haproxy_frontend_http_requests_total{instance="one",job="zato-edge",proxy="front_edge"}`:             "0+100x180",
		}, map[string]string{"instance": "one", "server": "b"},
	},
	is("ZatoClustersFull", "haproxy_backend_current_queue", steady("3"), steady("0"), "job", "zato-edge", "proxy", "bck_clusters"),
	{
		"ZatoEdgesDiffer", map[string]string{
			`haproxy_server_status{instance="one",job="zato-edge",proxy="bck_clusters",server="b",state="UP"}`: steady("1"),
			`haproxy_server_status{instance="two",job="zato-edge",proxy="bck_clusters",server="b",state="UP"}`: steady("0"),
		}, map[string]string{
			`haproxy_server_status{instance="one",job="zato-edge",proxy="bck_clusters",server="b",state="UP"}`: steady("0"),
			`haproxy_server_status{instance="two",job="zato-edge",proxy="bck_clusters",server="b",state="UP"}`: steady("0"),
			`haproxy_server_status{instance="two",job="zato-edge",proxy="bck_clusters",server="a",state="UP"}`: steady("1"),
		}, map[string]string{"server": "b"},
	},
	{
		"ZatoEdgeErrors", map[string]string{
			`haproxy_frontend_http_responses_total{instance="one",job="zato-edge",proxy="front_edge",code="5xx"}`: "0+2x180",
			`haproxy_frontend_http_requests_total{instance="one",job="zato-edge",proxy="front_edge"}`:             "0+100x180",
		}, map[string]string{
			`haproxy_frontend_http_responses_total{instance="one",job="zato-edge",proxy="front_edge",code="5xx"}`: "0+1x180",
			`haproxy_frontend_http_requests_total{instance="one",job="zato-edge",proxy="front_edge"}`:             "0+100x180",
		}, one,
	},

	is("ZatoTargetDown", "up", steady("0"), steady("1"), "job", "zato-server"),
	{
		"ZatoNothingWatched",
		map[string]string{`up{instance="one",job="zato-server"}`: steady("1"), `up{instance="two",job="zato-lb"}`: "1x20 stale"},
		map[string]string{`up{instance="two",job="zato-lb"}`: steady("0")},
		nil,
	},
}
