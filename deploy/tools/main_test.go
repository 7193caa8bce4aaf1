package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bare is a machine whose PATH has nothing but the scripts that a test puts there, and whose cache is empty.
type bare struct {
	machine
	path           string // the one folder in PATH
	stdout, stderr safeBuffer
}

// safeBuffer is written by goroutines that a test starts.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newBare(t *testing.T, scripts map[string]string) *bare {
	t.Helper()
	b := &bare{path: t.TempDir()}
	b.machine = machine{stdout: &b.stdout, screen: screen{out: &b.stderr}}
	t.Setenv("PATH", b.path)
	t.Setenv("ZATOHA_CACHE", t.TempDir())
	t.Setenv("FAKES", b.path)
	for name, body := range scripts {
		if err := os.WriteFile(filepath.Join(b.path, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// expect runs the program and wants its status, its standard output and, in this order, parts of what it says.
func (b *bare) expect(t *testing.T, args string, status int, stdout string, says ...string) {
	t.Helper()
	if got := b.main(t.Context(), strings.Fields(args)); got != status {
		t.Errorf("tools %s: status %d, want %d", args, got, status)
	}
	if got := strings.ReplaceAll(b.stdout.String(), b.path, "PATH"); got != stdout {
		t.Errorf("tools %s printed %q, want %q", args, got, stdout)
	}
	rest := b.stderr.String()
	for _, part := range says {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("tools %s: %q is not in what it says:\n%s", args, part, b.stderr.String())
			return
		}
		rest = after
	}
	if len(says) == 0 && rest != "" {
		t.Errorf("tools %s said, for no reason:\n%s", args, rest)
	}
}

const (
	goodHAProxy = "echo 'HAProxy version 2.6.12-1+deb12u4 2026/10/17'"
	goodConsul  = "echo Consul v1.20.1"
)

func TestWhatIsThereIsFound(t *testing.T) {
	scripts := map[string]string{"haproxy": goodHAProxy, "consul": goodConsul}
	newBare(t, scripts).expect(t, "", 0, "haproxy  PATH/haproxy\nconsul   PATH/consul\n")
	newBare(t, scripts).expect(t, "-print consul haproxy", 0, "PATH/consul\nPATH/haproxy\n")
}

// What the faults are joined by is found as anything else is.
func TestSlowHTTPTestIsFound(t *testing.T) {
	newBare(t, map[string]string{"slowhttptest": "exit 0"}).expect(t, "-print slowhttptest", 0, "PATH/slowhttptest\n")
	newBare(t, nil).expect(t, "slowhttptest", 2, "", "tools: slowhttptest is missing and cannot be installed")
}

func TestBadArguments(t *testing.T) {
	newBare(t, nil).expect(t, "nginx", 2, "", `tools: unknown program "nginx": name one of haproxy, consul, consul-template, slowhttptest, hey, chromium, rabbitmq-server, prometheus, python3-zmq, keepalived, iproute2, nftables`)
	newBare(t, nil).expect(t, "-x", 2, "", "-x", "usage: tools")
	newBare(t, nil).expect(t, "-h", 0, "", "usage: tools")
}

func TestProgramsThatAreTooOldAreRefused(t *testing.T) {
	newBare(t, map[string]string{"consul": "echo Consul v1.8.7"}).expect(t, "consul", 2, "",
		"tools: ", "/consul is version 1.8.7, but 1.16 or newer is needed: upgrade it, or take it out of PATH")
	newBare(t, map[string]string{"haproxy": "echo HA-Proxy version 2.2.9-2+deb11u6 2023/12/28"}).expect(t, "haproxy", 2, "",
		"tools: ", "/haproxy is version 2.2.9, but 2.6 or newer is needed: upgrade it")
}
