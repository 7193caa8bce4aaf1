package find

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script writes an executable shell script and returns its path.
func script(t *testing.T, folder, name, body string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// machine gives the test an empty PATH and an empty cache, and returns the one folder in PATH.
func machine(t *testing.T) (inPath string) {
	inPath = t.TempDir()
	t.Setenv("PATH", inPath)
	t.Setenv("ZATOHA_CACHE", t.TempDir())
	return inPath
}

func TestConsulInPathComesBeforeTheCache(t *testing.T) {
	inPath := machine(t)
	cached, err := CachedConsul()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FindConsul(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), cached) {
		t.Fatalf("with no consul: %v", err)
	}
	script(t, filepath.Dir(cached), "consul", "echo Consul v1.20.1")
	if path, err := FindConsul(); err != nil || path != cached {
		t.Fatalf("with one in the cache: %q, %v", path, err)
	}
	own := script(t, inPath, "consul", "echo Consul v1.16.0+ent")
	if path, err := FindConsul(); err != nil || path != own {
		t.Fatalf("with one in PATH too: %q, %v", path, err)
	}
}

func TestConsulTemplateIsFoundInTheCache(t *testing.T) {
	machine(t)
	if _, err := FindConsulTemplate(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "./deploy/tools consul-template") {
		t.Fatalf("with none: %v", err)
	}
	cached, err := CachedConsulTemplate()
	if err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Dir(cached), "consul-template", `[ "$1" = -version ] && echo "consul-template v0.41.1 ()"`)
	if path, err := FindConsulTemplate(); err != nil || path != cached {
		t.Fatalf("with one in the cache: %q, %v", path, err)
	}
}

func TestFabioIsFoundInPathAlone(t *testing.T) {
	inPath := machine(t)
	if _, err := FindFabio(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "fabio not found in PATH: put one there") {
		t.Fatalf("with none: %v", err)
	}
	own := script(t, inPath, "fabio", "exit 1")
	if path, err := FindFabio(); err != nil || path != own {
		t.Fatalf("%q, %v", path, err)
	}
}

func TestProgramsThatCannotBeUsed(t *testing.T) {
	for _, test := range []struct {
		name, program, body string
		find                func() (string, error)
		want                []string
	}{
		{"old consul", "consul", "echo Consul v1.15.10", FindConsul, []string{"/consul is version 1.15.10", "1.16 or newer", "take it out of PATH"}},
		{"old consul-template", "consul-template", "echo consul-template v0.19.5 '(57b6c71)'", FindConsulTemplate, []string{"/consul-template is version 0.19.5", "0.30 or newer"}},
		{"old haproxy", "haproxy", "echo 'HA-Proxy version 2.0.13-2ubuntu0.3 2021/08/27'", FindHAProxy, []string{"/haproxy is version 2.0.13", "2.6 or newer", "upgrade it"}},
		{"mute", "haproxy", "true", FindHAProxy, []string{"/haproxy -v: no version", "repair or remove it"}},
		{"broken", "consul", "exit 3", FindConsul, []string{"/consul version: exit status 3", "repair or remove it"}},
		{"huge number", "consul", "echo Consul v99999999999999999999.1.1", FindConsul, []string{"out of range"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			script(t, machine(t), test.program, test.body)
			path, err := test.find()
			if err == nil {
				t.Fatalf("found %s", path)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			if errors.Is(err, ErrMissing) {
				t.Errorf("an unusable program counts as missing: %v", err)
			}
		})
	}
}

func TestTooOldIsAType(t *testing.T) {
	path := script(t, machine(t), "haproxy", "echo HAProxy version 2.5.9")
	_, err := FindHAProxy()
	var old *TooOldError
	if !errors.As(err, &old) || old.Path != path || old.Found != (Version{2, 5, 9}) || old.Needed != MinimumHAProxy {
		t.Fatalf("%#v", err)
	}
}

func TestVersionsAsTheProgramsPrintThem(t *testing.T) {
	for output, want := range map[string]string{
		"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term": "2.6.12",
		"HA-Proxy version 1.8.8-1ubuntu0.13 2023/02/13":                                         "1.8.8",
		"HAProxy version 3.1-dev5-7d1a0f6 2024/08/07":                                           "3.1",
		"Consul v1.20.1\nBuild Date 1970-01-01T00:00:01Z":                                       "1.20.1",
		"Consul v1.22.0-dev (abc123)":                                                           "1.22",
	} {
		got, err := parseVersion(output)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", output, got, err, want)
		}
	}
}

func TestTheCacheIsWhereTheEnvironmentSays(t *testing.T) {
	for _, test := range []struct{ zatoha, xdg, want string }{
		{"", "", "/home/u/.cache/zatoha/tools/consul-1.20.1+raft1.7.3/consul"},
		{"", "/x", "/x/zatoha/tools/consul-1.20.1+raft1.7.3/consul"},
		{"/z", "/x", "/z/tools/consul-1.20.1+raft1.7.3/consul"},
	} {
		t.Setenv("HOME", "/home/u")
		t.Setenv("XDG_CACHE_HOME", test.xdg)
		t.Setenv("ZATOHA_CACHE", test.zatoha)
		if got, err := CachedConsul(); err != nil || got != test.want {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("ZATOHA_CACHE", "")
	if got, err := CachedConsulTemplate(); err == nil || !strings.Contains(err.Error(), "set ZATOHA_CACHE") {
		t.Errorf("without a home: %q, %v", got, err)
	}
	if got, err := CachedConsul(); err == nil || !strings.Contains(err.Error(), "set ZATOHA_CACHE") {
		t.Errorf("without a home: %q, %v", got, err)
	}
}

func TestTheReleaseIsTheOneThatTheModulePins(t *testing.T) {
	for name, release := range map[string]string{"consul": ConsulRelease, "consul-template": ConsulTemplateRelease} {
		pins, err := os.ReadFile("../" + name + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		release, raft, another := strings.Cut(release, "+raft")
		want := []string{"github.com/hashicorp/" + name + " v" + release + " "}
		if another {
			want = append(want, "github.com/hashicorp/raft v"+raft+" ")
		}
		for _, pin := range want {
			if !strings.Contains(string(pins), pin) {
				t.Errorf("deploy/tools/%s/go.mod does not require %q", name, pin)
			}
		}
	}
}

func TestAPythonThatHasZeroMQIsFound(t *testing.T) {
	inPath := machine(t)
	own := script(t, inPath, "python3", `case "$*" in "-I -c import zmq"*) exit 0;; esac; exit 1`)
	if path, err := FindPythonZMQ(); err != nil || path != own {
		t.Errorf("%q, %v", path, err)
	}
	script(t, inPath, "python3", "exit 1")
	if path, err := FindPythonZMQ(); path == own || err != nil && !errors.Is(err, ErrMissing) {
		t.Errorf("with one in PATH that has not: %q, %v", path, err)
	}
}
