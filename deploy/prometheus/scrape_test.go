package prometheus

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// discovery is as much of Prometheus's discovery by Consul as prometheus.yml uses.
type discovery struct {
	Server   string   `yaml:"server"`
	Services []string `yaml:"services"`
}

// Two clusters in one Consul: each of the jobs takes what is of its own cluster alone, by what the programs say of
// themselves there, and calls it by the one name.
func TestAJobScrapesItsOwnClusterAlone(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	for job, own := range map[string]map[string]string{
		"zato-server":        {"services_hash": "d41d8"},
		"zato-connectorhost": {"cluster": "main", "version": "v1"},
		"zato-lb":            {"balances": "zato-server", "admin": "127.0.0.1:11224"},
	} {
		other := map[string]string{"version": "v1", "cluster": "b", "balances": "zato-server-b", "admin": "127.0.0.1:11224"}
		output, err := exec.Command(tool, "check", "service-discovery", "--timeout=1s", withoutConsul(t, own, other), job).Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", job, err, output)
		}
		var found []struct{ DiscoveredLabels, Labels map[string]string }
		if err := json.Unmarshal(output, &found); err != nil || len(found) != 2 {
			t.Fatalf("%s: %v: %s", job, err, output)
		}
		for _, instance := range found { // in any order
			labels, id := instance.Labels, instance.DiscoveredLabels["__meta_consul_service_id"]
			if id == "id-0" && (labels["cluster"] != "main" || labels["instance"] != id || labels["node"] != "node-0") {
				t.Errorf("%s: its own cluster's has %v", job, labels)
			}
			if id != "id-0" && len(labels) != 0 {
				t.Errorf("%s: it takes another cluster's, as %v", job, labels)
			}
		}
	}
}

// The metrics of a load balancer are at an address of its own if --admin-listen names one, and else at that of its front,
// which Consul tells.
func TestALoadBalancerIsScrapedWhereItsControllerListens(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	var metadata []map[string]string
	var want []string
	for i, c := range [][2]string{
		{"192.168.50.1:11224", ""},
		{"lb-1.operators:9000", ""},
		{"[fd00::1]:11224", ""},
		{"10.127.0.1:11224", ""},
		{"localhost.lan:11224", ""},
		{"127.0.0.1:11224", "11224"},
		{"0.0.0.0:9000", "9000"},
		{":9000", "9000"},
		{"[::]:9000", "9000"},
		{"[::1]:9000", "9000"},
		{"localhost:9000", "9000"},
	} {
		metadata = append(metadata, map[string]string{"balances": "zato-server", "admin": c[0]})
		if port := c[1]; port != "" {
			want = append(want, fmt.Sprintf("10.0.0.%d:%s", i+1, port))
		} else {
			want = append(want, c[0])
		}
	}
	output, err := exec.Command(tool, "check", "service-discovery", "--timeout=1s", withoutConsul(t, metadata...), "zato-lb").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var found []struct{ Labels map[string]string }
	if err := json.Unmarshal(output, &found); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var got []string
	for _, instance := range found {
		got = append(got, instance.Labels["__address__"])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("they are scraped at %q, want %q", got, want)
	}
}

// withoutConsul is prometheus.yml for a Prometheus that was built without discovery by Consul, as Debian's is: what it
// says of that is looked at here, all else by promtool. In place of discovery it has instances with such metadata.
func withoutConsul(t *testing.T, metadata ...map[string]string) (path string) {
	t.Helper()
	text, err := os.ReadFile("prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Global  map[string]any   `yaml:"global" json:"global"`
		Rules   []string         `yaml:"rule_files" json:"-"`
		Scrapes []map[string]any `yaml:"scrape_configs" json:"scrape_configs"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(file.Rules, []string{alerts}) {
		t.Errorf("the rules are in %q", file.Rules)
	}
	for _, scrape := range file.Scrapes {
		if scrape["job_name"] == "zato-edge" { // which is in no Consul
			continue
		}
		again, err := yaml.Marshal(scrape["consul_sd_configs"])
		if err != nil {
			t.Fatal(err)
		}
		var found []discovery
		if err := yaml.UnmarshalWithOptions(again, &found, yaml.Strict()); err != nil {
			t.Errorf("%v: %v", scrape["job_name"], err)
		}
		if len(found) != 1 || len(found[0].Services) != 1 || found[0].Services[0] != scrape["job_name"] || found[0].Server != "127.0.0.1:8500" {
			t.Errorf("%v is found by %+v", scrape["job_name"], found)
		}
		delete(scrape, "consul_sd_configs")
		scrape["static_configs"] = discovered(metadata)
	}
	path = filepath.Join(t.TempDir(), "prometheus.yml")
	writeJSON(t, path, file)
	return path
}

// discovered are instances with such metadata, as Consul would tell of them.
func discovered(metadata []map[string]string) (instances []any) {
	for i, meta := range metadata {
		labels := map[string]string{"__meta_consul_service_id": fmt.Sprintf("id-%d", i), "__meta_consul_node": fmt.Sprintf("node-%d", i)}
		for name, value := range meta {
			labels["__meta_consul_service_metadata_"+name] = value
		}
		instances = append(instances, map[string]any{"targets": []string{fmt.Sprintf("10.0.0.%d:11223", i+1)}, "labels": labels})
	}
	return instances
}
