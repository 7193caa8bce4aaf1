package integration

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheLoadBalancerRefusesABadConfiguration wants exit status 2 and one line that says what, where and what to do.
func TestTheLoadBalancerRefusesABadConfiguration(t *testing.T) {
	config := newConfig(t, 0)
	file := func(name, text string) string {
		path := filepath.Join(config.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	clash := file("clash.cfg", "global\n\nfrontend front_http_plain\n\tmode http\n\tbind 127.0.0.1:1\n")
	foreign := file("foreign.cfg", "global\n\tbogus 1\n")
	oldHAProxy := file("old-haproxy", "#!/bin/sh\necho 'HAProxy version 2.4.24-0ubuntu0.22.04.1 2023/10/31'\n")
	if err := os.Chmod(oldHAProxy, 0o755); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"unknown field":       {[]string{"--config", file("lb.yaml", "listen: 127.0.0.1:1\nlisen: 1\n")}, []string{"lb.yaml:2", `unknown field "lisen"`, `did you mean "listen"`}},
		"bad port":            {[]string{"--listen", "127.0.0.1:99999"}, []string{"--listen", "port must be 1..65535"}},
		"bad share":           {[]string{"--guard", "2"}, []string{"--guard", "0..1"}},
		"bad parity":          {[]string{"--parity", "maybe"}, []string{"--parity", `"report","hold"`}},
		"bad address":         {[]string{"--consul-http-addr", "ftp://x"}, []string{"--consul-http-addr", "ftp"}},
		"busy front":          {[]string{"--listen", busy.Addr().String()}, []string{"--listen", "is in use"}},
		"busy status page":    {[]string{"--admin-listen", busy.Addr().String()}, []string{"--admin-listen", "is in use"}},
		"page at the front":   {[]string{"--admin-listen", config.Front}, []string{"--admin-listen", "is taken by --listen", "choose another port"}},
		"fronts at one port":  {[]string{"--tls-listen", config.Front, "--tls-cert", "/x.pem"}, []string{"--tls-listen", "is taken by --listen", "choose another port"}},
		"front of one host":   {[]string{"--virtual-address", "10.0.0.100"}, []string{"--listen", "--virtual-address 10.0.0.100", "listen at all addresses, by 0.0.0.0:"}},
		"no haproxy":          {[]string{"--haproxy-bin", "no-such-haproxy"}, []string{"--haproxy-bin", "install"}},
		"too old a haproxy":   {[]string{"--haproxy-bin", oldHAProxy}, []string{"--haproxy-bin", "at least 2.6 is needed"}},
		"clashing section":    {[]string{"--haproxy-cfg", clash}, []string{"clash.cfg: line 3", "front_http_plain", "rename it"}},
		"broken foreign line": {[]string{"--haproxy-cfg", foreign}, []string{"foreign.cfg", "unknown keyword 'bogus'"}},
		"unwritable file":     {[]string{"--haproxy-cfg", filepath.Join(clash, "haproxy.cfg")}, []string{"haproxy.cfg", "not a directory"}},
		"unwritable folder":   {[]string{"--state-dir", clash}, []string{"--state-dir", "not a directory"}},
		"long folder":         {[]string{"--state-dir", filepath.Join(config.Dir, strings.Repeat("x", 100))}, []string{"--state-dir", "choose a shorter directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--state-dir", filepath.Join(config.Dir, "lb"), "--listen", config.Front, "--admin-listen", config.Admin}, c.args...)
			said, status := runToEnd(t, filepath.Join(bin, "lb"), args...)
			if status != 2 || strings.Contains(said, "\n") {
				t.Errorf("exit status %d: %s", status, said)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
		})
	}
	if text, err := os.ReadFile(clash); err != nil || !strings.HasSuffix(string(text), "bind 127.0.0.1:1\n") {
		t.Errorf("the refused file was changed: %v\n%s", err, text)
	}
}

func TestTwoControllersDoNotShareADirectory(t *testing.T) {
	c := started(t, newConfig(t, 1))
	said, status := runToEnd(t, filepath.Join(bin, "lb"), "--state-dir", filepath.Dir(c.HAProxyCfg()), "--admin-listen", "127.0.0.1:1")
	if status != 2 || !strings.Contains(said, "another load balancer runs in") {
		t.Errorf("exit status %d: %s", status, said)
	}
}

// runToEnd runs a program that is to end by itself, and returns what it said.
func runToEnd(t *testing.T, program string, args ...string) (said string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err == nil {
		return strings.TrimSpace(string(output)), 0
	}
	return strings.TrimSpace(string(output)), exit.ExitCode()
}
