package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
)

// scraped is a Prometheus that scrapes a cluster as deploy/prometheus says, only faster and elsewhere.
type scraped struct{ address string }

func startPrometheus(t *testing.T, c *cluster.Cluster, outer *cluster.Edge) *scraped {
	t.Helper()
	binary, err := find.FindPrometheus()
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	quoted := func(addresses ...string) string { return `["` + strings.Join(addresses, `", "`) + `"]` }
	for _, name := range []string{"prometheus-static.yml", "zatoha-alerts.yml"} {
		shipped := text(t, filepath.Join("..", "prometheus", name))
		here := strings.NewReplacer(
			`["127.0.0.1:17010"]`, quoted(c.Config.Servers...), `["127.0.0.1:17110"]`, quoted(c.Config.Hosts...), `["127.0.0.1:11224"]`, quoted(c.Admin),
			`["127.0.0.1:11225"]`, quoted(outer.Metrics),
			"scrape_interval: 5s", "scrape_interval: 300ms", "evaluation_interval: 5s", "evaluation_interval: 500ms", "for: 30s", "for: 1s", "for: 1m\n", "for: 1s\n",
		).Replace(shipped)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeport.For(t)
	s := &scraped{address}
	p, err := c.Launch("prometheus", binary, "--config.file="+filepath.Join(dir, "prometheus-static.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+s.address, "--log.level=warn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask reads the part "data" of an answer.
func (s *scraped) ask(ctx context.Context, call string, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/api/v1/"+call, nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %.200s: %w", call, body, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", call, answer.Error)
	}
	return nil
}

type series struct {
	Metric map[string]string
	Value  [2]any
}

func (s *scraped) query(ctx context.Context, expr string) ([]series, error) {
	var data struct{ Result []series }
	err := s.ask(ctx, "query?query="+url.QueryEscape(expr), &data)
	return data.Result, err
}

// panels are the queries of the dashboard, with their titles.
type panel struct {
	Title   string
	Targets []struct{ Expr, LegendFormat string }
}

func dashboard(t *testing.T) (panels []panel) {
	t.Helper()
	var board struct{ Panels []panel }
	if err := json.Unmarshal([]byte(text(t, "../grafana/zatoha.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Targets) > 0 {
			panels = append(panels, p)
		}
	}
	return panels
}

// outside is an outer load balancer before a cluster, and before another that is not there.
func outside(t *testing.T, c *cluster.Cluster) *cluster.Edge {
	t.Helper()
	ports, err := freeport.Some(3)
	if err != nil {
		t.Fatal(err)
	}
	address := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	outer, err := cluster.StartEdge(t.Context(), cluster.EdgeConfig{
		Bin: bin, HAProxyBin: haproxyBin, Dir: filepath.Join(c.Dir, "outer"), Front: address(0), Metrics: address(1),
		Args: []string{"--clusters", "a=" + c.Front + ",b=" + address(2)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outer.Kill)
	return outer
}

// Every query of the dashboard finds something in the metrics of a cluster that works, with the labels that its legend
// names; every alarm finds the metrics that it is about, or those that it is about do not exist while all is well; and
// the alarms that a dead server raises, a cluster that is down and a dead outer load balancer are raised.
func TestDashboardAndAlarmsAreAboutRealMetrics(t *testing.T) {
	config := withHosts(t, newConfig(t, 2), 2)
	_, port, err := net.SplitHostPort(config.Front)
	if err != nil {
		t.Fatal(err)
	}
	config.LBArgs = append(config.LBArgs, "--listen", "0.0.0.0:"+port, "--virtual-address", "127.0.0.1")
	c := started(t, config)
	outer := outside(t, c)
	s := startPrometheus(t, c, outer)
	address := "tcp://" + freeport.For(t)
	define(t, c, "channels/send", map[string]any{"method": "POST", "path": "/send", "service": "demo.send"})
	define(t, c, "connectors/ticks", map[string]any{
		"name": "ticks", "kind": "zmq", "role": "channel", "service": "demo.log", "socket_type": "PULL", "socket_method": "bind", "address": address,
	})
	define(t, c, "connectors/out", map[string]any{
		"name": "out", "kind": "zmq", "role": "outgoing", "socket_type": "PUSH", "socket_method": "connect", "address": address,
	})
	activeHost(t, c, 0, 1)
	goesThrough(t, c, "zmq", "out", "one")
	running := underLoad(t, c)
	for _, panel := range dashboard(t) {
		for _, target := range panel.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "5s")
			eventually(t, func() error { return charted(t.Context(), s, panel.Title, expr, target.LegendFormat) })
		}
	}
	noErrors(t, running)
	alarmsFindTheirMetrics(t, s)
	eventually(t, func() error { return s.raised(t.Context(), "ZatoClusterDown") })

	c.Servers[0].Signal(syscall.SIGKILL)
	outer.HAProxy.Kill()
	eventually(t, func() error {
		return s.raised(t.Context(), "ZatoServersFailing", "ZatoOneServerLeft", "ZatoTargetDown", "ZatoEdgeDown")
	})
}

// raised says whether these alarms are, or wait to be.
func (s *scraped) raised(ctx context.Context, want ...string) error {
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := s.ask(ctx, "alerts", &data); err != nil {
		return err
	}
	raised := map[string]bool{}
	for _, alert := range data.Alerts {
		raised[alert.Labels["alertname"]] = true
	}
	for _, alert := range want {
		if !raised[alert] {
			return fmt.Errorf("%s is not raised; raised are %v", alert, raised)
		}
	}
	return nil
}

// charted says whether a query finds something that its legend can be made of.
func charted(ctx context.Context, s *scraped, title, expr, legend string) error {
	found, err := s.query(ctx, expr)
	if err != nil {
		return fmt.Errorf("panel %s: %s: %w", title, expr, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("panel %s: %s finds nothing", title, expr)
	}
	for part := range strings.SplitSeq(legend, "{{") {
		label, _, is := strings.Cut(part, "}}")
		for _, series := range found {
			if is && series.Metric[label] == "" {
				return fmt.Errorf("panel %s: %s has no label %s: %v", title, expr, label, series.Metric)
			}
		}
	}
	return nil
}

// rarely are metrics that are there only when there is something to count, or for what this cluster has not.
var rarely = map[string]string{
	"zato_server_upstream_up":        "a server without an application has none",
	"zatoha_lb_peer_diverges":        "there is one load balancer",
	"zatoha_lb_peer_settings_differ": "there is one load balancer",
	"zatoha_lb_certificate_due":      "its front has no TLS",
	"zatoha_lb_certificate_refused":  "its front has no TLS",
}

// alarmsFindTheirMetrics wants each metric that an alarm names to be there.
func alarmsFindTheirMetrics(t *testing.T, s *scraped) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, LastError string }
		}
	}
	if err := s.ask(t.Context(), "rules", &data); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range data.Groups {
		for _, rule := range group.Rules {
			n++
			if rule.Health == "err" {
				t.Errorf("%s: %s", rule.Name, rule.LastError)
			}
			for _, selector := range selectors(rule.Query) {
				name, _, _ := strings.Cut(selector, "{")
				if rarely[name] != "" || strings.HasPrefix(selector, "zatoha_lb_haproxy_frontend_responses_total") {
					continue
				}
				if found, err := s.query(t.Context(), selector); err != nil || len(found) == 0 {
					t.Errorf("%s is about %s, which is not there: %v", rule.Name, selector, err)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d alarms are there", n)
	}
}

// selectors are the metrics in an expression, each with its labels.
func selectors(expr string) (all []string) {
	for at := 0; at < len(expr); at++ {
		rest := expr[at:]
		if !strings.HasPrefix(rest, "zato") && !strings.HasPrefix(rest, "haproxy_") && !strings.HasPrefix(rest, "up{") || at > 0 && (isName(expr[at-1]) || expr[at-1] == '"') {
			continue
		}
		end := 0
		for end < len(rest) && isName(rest[end]) {
			end++
		}
		if end < len(rest) && rest[end] == '{' {
			end += strings.IndexByte(rest[end:], '}') + 1
		}
		all = append(all, rest[:end])
		at += end
	}
	return all
}

func isName(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
