package integration

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"zatoha/deploy/cluster"
)

// drifting is a cluster with what somebody else can change behind its controller's back.
type drifting struct {
	*cluster.Cluster
	file string                               // haproxy.cfg
	ask  func(command string) (string, error) // HAProxy's runtime socket
}

// drifts are clusters with either data plane.
var drifts = map[string]func(t *testing.T) drifting{
	"of this machine": func(t *testing.T) drifting {
		c := started(t, newConfig(t, 2))
		ask := func(command string) (string, error) { return c.Runtime(t.Context(), command) }
		return drifting{c, c.HAProxyCfg(), ask}
	},
	"behind a Data Plane API": func(t *testing.T) drifting {
		c, f := withForeign(t)
		return drifting{c, f.path("haproxy.cfg"), f.ask}
	},
}

// TestDriftIsSetRightCountedAndTold edits our lines in haproxy.cfg, changes slots by the runtime socket, starts the
// controller with another flag, and rolls that back, under load.
func TestDriftIsSetRightCountedAndTold(t *testing.T) {
	for name, start := range drifts {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			running := underLoad(t, c.Cluster)
			c.edits(t, "timeout queue", "timeout tarpit")
			c.tells(t, "repair", cluster.Drift{File: 1, Runtime: 1}, "haproxy.cfg set right, somebody had edited our lines: ", "timeout tarpit")

			if said, err := c.ask("set server bck_http_plain/slot-001 weight 7"); err != nil || strings.TrimSpace(said) != "" {
				t.Fatalf("%q, %v", said, err)
			}
			c.tells(t, "", cluster.Drift{File: 1, Runtime: 2}, "set right: slot-001")
			if said, err := c.ask("disable health bck_http_plain/slot-002"); err != nil || strings.TrimSpace(said) != "" {
				t.Fatalf("%q, %v", said, err)
			}
			c.tells(t, "", cluster.Drift{File: 1, Runtime: 3}, "set right: slot-002")

			if err := c.LB.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.LBArgs = append(slices.Clone(c.LBArgs), "--server-timeout=7s")
			if err := c.StartLB(); err != nil {
				t.Fatal(err)
			}
			c.tells(t, "settings", cluster.Drift{}, "haproxy reloaded (settings): ")
			said, code := lb(t, c.Cluster, "rollback", "--admin", c.Admin)
			wants(t, said, code, 0, "rolled back")
			c.tells(t, "rollback", cluster.Drift{}, "haproxy reloaded (rollback): ")

			c.edits(t, "timeout queue", "timeout tarpit") // of a design that is not that of the flags
			c.tells(t, "repair", cluster.Drift{File: 1, Runtime: 1}, "timeout tarpit")
			if text := c.read(t); !strings.Contains(text, "timeout server 30000ms") {
				t.Errorf("the rolled back design is not in the file:\n%s", text)
			}
			noErrors(t, running)
		})
	}
}

// TestAFrontThatSomebodyStopsIsOpened stops the front by the runtime socket.
func TestAFrontThatSomebodyStopsIsOpened(t *testing.T) {
	for name, start := range drifts {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			for i, command := range []string{"disable frontend front_http_plain", "shutdown frontend front_http_plain"} {
				if said, err := c.ask(command); err != nil || strings.TrimSpace(said) != "" {
					t.Fatalf("%s: %q, %v", command, said, err)
				}
				c.tells(t, "", cluster.Drift{Runtime: i + 1}, "set right: the front takes connections again")
				answers(t, "http://"+c.Front+"/zato-lb-alive", http.StatusOK)
				answers(t, "http://"+c.Admin+"/zato-lb-alive", http.StatusOK)
			}
		})
	}
}

func (c drifting) read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// edits changes a line of ours at one stroke, and waits until it is as it was.
func (c drifting) edits(t *testing.T, old, now string) {
	t.Helper()
	before := c.read(t)
	edited := strings.Replace(before, old, now, 1)
	if edited == before {
		t.Fatalf("%q is not in\n%s", old, before)
	}
	if err := os.WriteFile(c.file+".mine", []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.file+".mine", c.file); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if text := c.read(t); text != before {
			return fmt.Errorf("the file is not as it was:\n%s", text)
		}
		return nil
	})
}

// tells waits until so much drift and, if there is a reason, one reload for it are counted, and wants all that is said of
// them to be on the status page, in lb status, in the log and in the metrics.
func (c drifting) tells(t *testing.T, reason string, drift cluster.Drift, says ...string) {
	t.Helper()
	await(t, c.Cluster, func(s cluster.Status) bool {
		return s.Sync.Drift == drift && (reason == "" || s.Sync.Reloads[reason] == 1) && s.Sync.Error == ""
	})
	said, code := lb(t, c.Cluster, "status", "--admin", c.Admin)
	wants(t, said, code, 0, says...)
	var history strings.Builder
	for _, entry := range status(t, c.Cluster).Changes {
		fmt.Fprintln(&history, entry.What)
	}
	wants(t, history.String(), 0, 0, says...)
	wants(t, strings.ReplaceAll(logged(t, c.Cluster), `\"`, `"`), 0, 0, says...)
	metrics := []string{
		fmt.Sprintf(`zatoha_lb_drift_total{where="file"} %d`, drift.File), fmt.Sprintf(`zatoha_lb_drift_total{where="runtime"} %d`, drift.Runtime),
		`zatoha_lb_haproxy_reloads_total{reason="grow"} 0`,
	}
	if reason != "" {
		metrics = append(metrics, fmt.Sprintf(`zatoha_lb_haproxy_reloads_total{reason=%q} 1`, reason))
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, text := get(t, request)
	wants(t, text, 0, 0, metrics...)
}
