package main

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/program"
)

// someSetup is three servers and two machines with our programs.
func someSetup(t *testing.T, dir string) *setup {
	t.Helper()
	s := &setup{
		Dir: dir, Datacenter: "dc1", Cluster: "main", InstallDir: "/etc/consul.d", Valid: 90 * 24 * time.Hour,
		Server: []string{"consul-1=10.0.0.1", "consul-2=10.0.0.2", "consul-3=[fd00::3]:8311"},
		Client: []string{"web-1=10.0.1.1", "web-2=10.0.1.2"},
	}
	return s
}

func written(t *testing.T, s *setup) map[string]string {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err := filepath.WalkDir(s.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(s.Dir, path)
		files[name] = string(text)
		if info, _ := entry.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// differing are the files that are not the same in both.
func differing(a, b map[string]string) []string {
	var names []string
	for name := range maps.Keys(b) {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(a) {
		if _, both := b[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestASecondRunChangesOnlyWhatHasToChange(t *testing.T) {
	t.Parallel()
	s := someSetup(t, t.TempDir())
	first := written(t, s)
	for _, name := range []string{
		"ca-key.pem", "ca.pem", "secrets.json", "consul-1/consul.d/10-all.hcl", "consul-1/consul.d/20-server.hcl", "consul-1/consul.d/90-node.hcl",
		"consul-1/consul.d/agent-key.pem", "web-1/consul.d/20-client.hcl", "web-1/zatoha/lb.token", "web-1/zatoha/consul-ca.pem", "web-2/zatoha/consul.env",
	} {
		if first[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	if node := first["web-1/consul.d/90-node.hcl"]; !strings.Contains(node, `retry_join = ["10.0.0.1:8301", "10.0.0.2:8301", "[fd00::3]:8311"]`) ||
		strings.Contains(node, "initial_management") {
		t.Errorf("web-1 has %s", node)
	}
	if node := first["consul-3/consul.d/90-node.hcl"]; !strings.Contains(node, "bootstrap_expect = 3\nautopilot {\n  min_quorum = 3\n}\n") {
		t.Errorf("consul-3 has %s", node)
	}
	change := func(what string, f func(s *setup), want ...string) {
		t.Helper()
		next := someSetup(t, s.Dir)
		f(next)
		if got := differing(first, written(t, next)); !slices.Equal(got, want) {
			t.Errorf("%s: %q changed, want %q", what, got, want)
		}
		written(t, someSetup(t, s.Dir))
	}
	change("nothing", func(*setup) {})
	change("another address", func(s *setup) { s.Client[1] = "web-2=10.0.1.9" },
		"web-2/consul.d/90-node.hcl", "web-2/consul.d/agent-key.pem", "web-2/consul.d/agent.pem")
	first = written(t, someSetup(t, s.Dir))
	change("fast gossip", func(s *setup) { s.FastGossip = true },
		"consul-1/consul.d/30-gossip-fast.hcl", "consul-2/consul.d/30-gossip-fast.hcl", "consul-3/consul.d/30-gossip-fast.hcl",
		"web-1/consul.d/30-gossip-fast.hcl", "web-2/consul.d/30-gossip-fast.hcl")
	change("a damaged certificate", func(s *setup) {
		if err := os.WriteFile(filepath.Join(s.Dir, "web-1/consul.d/agent.pem"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}, "web-1/consul.d/agent-key.pem", "web-1/consul.d/agent.pem")
}

// A Consul server that runs our programs too has one agent, a server, and the tokens of the programs.
func TestAMachineCanBeServerAndClient(t *testing.T) {
	t.Parallel()
	s := someSetup(t, t.TempDir())
	s.Client = append(s.Client, "consul-1=10.0.0.1", "consul-3=fd00::3")
	files := written(t, s)
	for _, machine := range []string{"consul-1", "consul-3"} {
		for _, name := range []string{"/consul.d/20-server.hcl", "/zatoha/connectorhost.token", "/zatoha/consul.env"} {
			if files[machine+name] == "" {
				t.Errorf("there is no %s", machine+name)
			}
		}
		if files[machine+"/consul.d/20-client.hcl"] != "" || !strings.Contains(files[machine+"/consul.d/90-node.hcl"], "initial_management") {
			t.Errorf("%s is no server", machine)
		}
	}
	if files["consul-2/zatoha/lb.token"] != "" {
		t.Error("a server that runs no programs of ours has their tokens")
	}
}

// Consul goes by all files in its folder: what is of the role of before, or no longer wanted, must go, here and there.
func TestWhatAMachineShallNoLongerHaveIsRemoved(t *testing.T) {
	t.Parallel()
	before := someSetup(t, t.TempDir())
	before.FastGossip = true
	written(t, before)
	s := someSetup(t, before.Dir)
	s.Server[0], s.Client[0], s.FastGossip = "web-1=10.0.1.1", "consul-1=10.0.0.1", true
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	removals := func() string {
		var said bytes.Buffer
		if _, err := s.write(zerolog.New(&said)); err != nil {
			t.Fatal(err)
		}
		var lines strings.Builder
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, `"message":"removed: `) {
				lines.WriteString(line)
			}
		}
		return lines.String()
	}
	said := removals()
	for machine, role := range map[string][2]string{"consul-1": {"client", "server"}, "web-1": {"server", "client"}} {
		have, err := filepath.Glob(filepath.Join(s.Dir, machine, "consul.d", "20-*"))
		if want := filepath.Join(s.Dir, machine, "consul.d", "20-"+role[0]+".hcl"); err != nil || !slices.Equal(have, []string{want}) {
			t.Errorf("%s has %q, %v; want %s", machine, have, err, want)
		}
		if want := `"machine":"` + machine + `","delete":"/etc/consul.d/20-` + role[1] + `.hcl"`; !strings.Contains(said, want) {
			t.Errorf("%s is not in %s", want, said)
		}
	}
	if said = removals(); said != "" {
		t.Errorf("a second run: %s", said)
	}
	s.FastGossip = false
	if said = removals(); strings.Count(said, `"delete":"/etc/consul.d/30-gossip-fast.hcl"`) != 5 {
		t.Errorf("without the fast gossip: %s", said)
	}
}

func TestSettingsThatMakeNoDatacenterAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(*setup)
		want   string
	}{
		{func(s *setup) { s.Server = s.Server[:2] }, "--server: 2 of them: name an odd number"},
		{func(s *setup) { s.Server[0] = "consul-1" }, `--server: "consul-1": must be NAME=IP`},
		{func(s *setup) { s.Server[0] = "Consul=10.0.0.1" }, "small letters"},
		{func(s *setup) { s.Server[0] = "../../x=10.0.0.1:8301" }, `--server: "../../x=10.0.0.1:8301": must be NAME=IP`},
		{func(s *setup) { s.Server[0] = "=10.0.0.1:8301" }, `--server: "=10.0.0.1:8301": must be NAME=IP`},
		{func(s *setup) { s.Client[0] = "../x=10.0.1.1" }, `--client: "../x=10.0.1.1": must be NAME=IP`},
		{func(s *setup) { s.Server[0] = "consul-1=0.0.0.0" }, `--server: "consul-1=0.0.0.0": must have the address`},
		{func(s *setup) { s.Server[0] = "consul-1=[::]:8301" }, `--server: "consul-1=[::]:8301": must have the address`},
		{func(s *setup) { s.Server[0] = "consul-1=10.0.0.1:0" }, `--server: "consul-1=10.0.0.1:0": must have the address`},
		{func(s *setup) { s.Server[1] = "consul-2=10.0.0.1:8301" }, "consul-2: is at 10.0.0.1:8301, and so is consul-1"},
		{func(s *setup) { s.Client[1] = "web-2=10.0.1.1" }, "web-2: is at 10.0.1.1:8301, and so is web-1"},
		{func(s *setup) { s.Client[1] = "web-2=::ffff:10.0.0.2" }, "web-2: is at 10.0.0.2:8301, and so is consul-2"},
		{func(s *setup) { s.Client[0] = "web-2=10.0.1.1" }, "--client: web-2: is named twice"},
		{func(s *setup) { s.Server[2] = "consul-1=10.0.0.3" }, "--server: consul-1: is named twice"},
		{func(s *setup) { s.Client[0] = "consul-1=10.0.1.1" }, "--client: consul-1: is at 10.0.1.1, and as a server at 10.0.0.1"},
		{func(s *setup) { s.Datacenter = "DC 1" }, "--datacenter"},
		{func(s *setup) { s.Cluster = "a/b" }, "--cluster"},
		{func(s *setup) { s.Valid = time.Second }, "--valid: 1s"},
		{func(s *setup) { s.ACL = "http://10.0.0.1:8500" }, "must begin with https://"},
	} {
		s := someSetup(t, t.TempDir())
		test.change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v; want %q", err, test.want)
		}
	}
}

// The tokens of one cluster are not given the rights of another, which would take away their own.
func TestAFolderIsForOneCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := func(cluster string) *setup {
		s := someSetup(t, dir)
		s.Cluster = cluster
		return s
	}
	first := written(t, of("prod"))
	refused := of("main")
	refused.Client = append(refused.Client, "web-3=10.0.1.3")
	if err := refused.Validate(); err != nil {
		t.Fatal(err)
	}
	_, err := refused.write(zerolog.Nop())
	if _, bad := errors.AsType[*program.ConfigError](err); !bad || !strings.Contains(err.Error(), "--cluster: \"main\": ") ||
		!strings.Contains(err.Error(), "secrets.json") || !strings.Contains(err.Error(), "give --cluster prod") {
		t.Errorf("another cluster: %v", err)
	}
	if got := differing(first, written(t, of("prod"))); got != nil {
		t.Errorf("after a run that was refused, %q differ", got)
	}
	// A folder of before the name was kept is for the cluster that is given.
	before := strings.Replace(first[secretsFile], "  \"cluster\": \"prod\",\n", "", 1)
	if before == first[secretsFile] {
		t.Fatalf("there is no cluster in %s", before)
	}
	if err := os.WriteFile(filepath.Join(dir, secretsFile), []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := differing(first, written(t, of("prod"))); got != nil {
		t.Errorf("of a folder without a name, %q differ", got)
	}
}

func TestSecretsThatAreDamagedAreNotReplaced(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"secrets.json": "restore it", "ca-key.pem": "only one of ca.pem and ca-key.pem"} {
		s := someSetup(t, t.TempDir())
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.write(zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
}
