package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func yamlFile(t *testing.T, content string) string {
	t.Helper()
	return textFile(t, "lb.yaml", content)
}

// textFile is a file of that name with a text in it.
func textFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := yamlFile(t, "slots: 30\nconsul: file:8500\n")
	for _, c := range []struct {
		name   string
		env    map[string]string
		args   []string
		slots  int
		consul string
	}{
		{"default", nil, nil, 16, "127.0.0.1:8500"},
		{"file", nil, []string{"--config", file}, 30, "file:8500"},
		{"file named by the environment", map[string]string{"ZATOHA_LB_CONFIG": file}, nil, 30, "file:8500"},
		{
			"environment over file",
			map[string]string{"ZATOHA_LB_SLOTS": "40", "CONSUL_HTTP_ADDR": "env:8500"},
			[]string{"--config", file},
			40, "env:8500",
		},
		{
			"flag over all",
			map[string]string{"ZATOHA_LB_SLOTS": "40", "CONSUL_HTTP_ADDR": "env:8500"},
			[]string{"--slots=50", "--consul=flag:8500", "--config", file},
			50, "flag:8500",
		},
		{
			"flag over a wrong environment",
			map[string]string{"ZATOHA_LB_SLOTS": "many"},
			[]string{"--slots=50"},
			50, "127.0.0.1:8500",
		},
		{
			"default value in the environment over file",
			map[string]string{"ZATOHA_LB_SLOTS": "16"},
			[]string{"--config", file},
			16, "file:8500",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			end := start(t, succeed, nil, c.args...)
			if end.status != exitStopped || end.got.Slots != c.slots || end.got.Consul != c.consul {
				t.Errorf("status %d, slots %d, consul %q; want 0, %d, %q\n%s",
					end.status, end.got.Slots, end.got.Consul, c.slots, c.consul, end.stderr)
			}
		})
	}
}

func TestFileTakesEveryKindOfValue(t *testing.T) {
	file := yamlFile(t, `# a comment
listen: "[::1]:8080"
peers:
  - 10.0.0.1:1
  - node-2.example:65535
slots: 8
guard: yes
timeout: 1m30s
log-level: debug
width: 120 # of another command
`)
	end := start(t, succeed, nil, "--config="+file)
	if end.status != exitStopped {
		t.Fatalf("status %d: %s", end.status, end.stderr)
	}
	got := end.got
	if got.Listen != "[::1]:8080" || len(got.Peers) != 2 || got.Peers[1].Port() != 65535 || got.Slots != 8 ||
		!got.Guard || got.Timeout != 90*time.Second {
		t.Errorf("got %+v", got)
	}
	if got.Listen.Host() != "::1" {
		t.Errorf("host %q", got.Listen.Host())
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "peers: []\n"} {
		if end := start(t, succeed, nil, "--config", yamlFile(t, empty)); end.status != exitStopped {
			t.Errorf("file %q: status %d: %s", empty, end.status, end.stderr)
		}
	}
}

// A bad configuration ends the program before it runs, with status 2 and one line that says what, where and what to do.
func TestBadConfiguration(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        [2]string
		args       []string
		want       string // DIR is the folder of the file
	}{
		{
			name: "unknown field", file: "slots: 3\n\nlisen: 127.0.0.1:1\n",
			want: `lb: DIR/lb.yaml:3: unknown field "lisen": did you mean "listen"?`,
		},
		{
			name: "unknown field like no other", file: "frobnicate: 1\n",
			want: `lb: DIR/lb.yaml:1: unknown field "frobnicate": remove it, or see --help for the names`,
		},
		{name: "not a setting", file: "config: x\n", want: `lb: DIR/lb.yaml:1: unknown field "config": remove it, or see --help for the names`},
		{name: "bad port", file: "listen: 127.0.0.1:99999\n", want: `lb: DIR/lb.yaml:1: listen: "127.0.0.1:99999": port must be 1..65535`},
		{name: "bad port in a list", file: "peers: [a:1, b:0]\n", want: `lb: DIR/lb.yaml:1: peers: "b:0": port must be 1..65535`},
		{name: "wrong type", file: "slots: many\n", want: `lb: DIR/lb.yaml:1: slots: expected a valid 64 bit int but got "many"`},
		{name: "wrong duration", file: "timeout: 5\n", want: `lb: DIR/lb.yaml:1: timeout: expected duration but got "5": time: missing unit in duration "5"`},
		{name: "list for one value", file: "slots: [1]\n", want: `lb: DIR/lb.yaml:1: slots: expected one value but got a list`},
		{name: "map for one value", file: "listen: {a: b}\n", want: `lb: DIR/lb.yaml:1: listen: expected one value but got a mapping`},
		{name: "no value", file: "listen:\n", want: `lb: DIR/lb.yaml:1: listen: has no value; give one or remove the line`},
		{name: "not one of", file: "log-level: loud\n", want: `lb: DIR/lb.yaml:1: log-level: must be one of trace, debug, info, warn, error but got "loud"`},
		{
			name: "several faults", file: "lisen: x\nslots: many\n",
			want: `lb: DIR/lb.yaml:1: unknown field "lisen": did you mean "listen"?; DIR/lb.yaml:2: slots: expected a valid 64 bit int but got "many"`,
		},
		{
			name: "bad YAML", file: "slots: 1\nlisten: [\n",
			want: "lb: DIR/lb.yaml:2: not valid YAML: sequence end token ']' not found: correct this line or the one before it",
		},
		{
			name: "key twice", file: "slots: 1\nslots: 2\n",
			want: `lb: DIR/lb.yaml:2: not valid YAML: mapping key "slots" already defined at [1:1]: correct this line or the one before it`,
		},
		{name: "not settings", file: "- a\n", want: "lb: DIR/lb.yaml: expected settings but got a sequence: write one \"name: value\" a line"},
		{
			name: "missing file", args: []string{"--config", "DIR/none.yaml"},
			want: "lb: DIR/none.yaml: cannot read the configuration file: no such file or directory: give --config a YAML file that can be read",
		},
		{
			name: "unreadable file", args: []string{"--config", "DIR"},
			want: "lb: DIR: cannot read the configuration file: is a directory: give --config a YAML file that can be read",
		},
		{name: "unknown flag", args: []string{"--lisen=x"}, want: `lb: unknown flag --lisen, did you mean "--listen"?`},
		{name: "bad flag", args: []string{"--listen=here"}, want: `lb: --listen: "here": must be host:port, like 127.0.0.1:11223: run "lb --help" for what can be set`},
		{name: "bad host", args: []string{"--listen=a b:1"}, want: `lb: --listen: "a b:1": host must be an IP address or a host name: run "lb --help" for what can be set`},
		{
			name: "bad environment", env: [2]string{"ZATOHA_LB_SLOTS", "many"},
			want: `lb: --slots: expected a valid 64 bit int but got "many" (from envar ZATOHA_LB_SLOTS="many"): run "lb --help" for what can be set`,
		},
		{name: "Validate hook", args: []string{"--timeout=-1s"}, want: `lb: serve: --timeout: must not be negative: run "lb --help" for what can be set`},
		{name: "open pprof", args: []string{"--pprof=0.0.0.0:6060"}, want: `lb: --pprof: "0.0.0.0:6060": must be a loopback address, like 127.0.0.1:6060: run "lb --help" for what can be set`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := yamlFile(t, c.file)
			dir := filepath.Dir(path)
			args := []string{"--config", path}
			if c.args != nil {
				args = strings.Split(strings.ReplaceAll(strings.Join(c.args, "\n"), "DIR", dir), "\n")
			}
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			end := start(t, succeed, nil, args...)
			want := strings.ReplaceAll(c.want, "DIR", dir) + "\n"
			if end.status != exitBadConfig || end.stderr != want || end.stdout != "" || end.ran {
				t.Errorf("status %d, ran %t, stdout %q, stderr\n%swant\n%s", end.status, end.ran, end.stdout, end.stderr, want)
			}
		})
	}
}
