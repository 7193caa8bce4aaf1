package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"zatoha/lb/address"
)

func TestOnlyTheMachineOfHAProxyYields(t *testing.T) {
	g := &grammar{StateDir: t.TempDir(), DataPlane: dataPlaneFlags{URL: "http://haproxy:5555"}}
	if err := (&yieldCommand{}).Run(t.Context(), zerolog.Nop(), g); err == nil || !strings.Contains(err.Error(), "--dataplane-url") {
		t.Error(err)
	}
}

func TestAHAProxyThatWasNotToldOfTheAddressCannotYield(t *testing.T) {
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	g := &grammar{StateDir: dir}
	if err := (&yieldCommand{}).Run(t.Context(), zerolog.Nop(), g); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an HAProxy: %v", err)
	}
	listener, err := net.Listen("unix", g.paths().Stats())
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			_, _ = io.WriteString(conn, "Variable not found.\n\n")
		}
	}()
	if err := (&yieldCommand{}).Run(t.Context(), zerolog.Nop(), g); err == nil || !strings.Contains(err.Error(), "start the load balancer with the same flag") {
		t.Error(err)
	}
	listener.Close()
	<-answered
}

func TestBadVirtualAddresses(t *testing.T) {
	for _, command := range []string{"run", "plan", "yield", "resume"} {
		for _, text := range []string{"10.0.0.300", "fe80::1%eth0", "0.0.0.0"} {
			if _, err := parsed(t, command, "--virtual-address="+text); err == nil || !strings.Contains(err.Error(), "--virtual-address") {
				t.Errorf("%s %s: %v", command, text, err)
			}
		}
		for want, args := range map[string][]string{
			"":               {"--virtual-address=fd00::100", "--listen=[::]:80"},
			"by 0.0.0.0:80":  {"--virtual-address=10.0.0.100", "--listen=10.0.0.1:80"},
			"by 0.0.0.0:443": {"--virtual-address=10.0.0.100", "--tls-listen=10.0.0.100:443"},
			"by [::]:11223":  {"--virtual-address=fd00::100"},
		} {
			if command == "run" || command == "plan" {
				args = append(args, "--tls-cert=/x.pem")
				if !strings.Contains(strings.Join(args, " "), "--tls-listen") {
					args = append(args, "--tls-listen=[::]:8443")
				}
			}
			if _, err := parsed(t, append([]string{command}, args...)...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: %v, want %q", command, args, err, want)
			}
		}
	}
}

func TestWhereTheAddressIsShows(t *testing.T) {
	registry, files := prometheus.NewRegistry(), address.Files{Dir: t.TempDir()}
	exportAddress(registry, netip.MustParseAddr("127.0.0.1"), files)
	if err := files.SetYielded(true); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP zatoha_lb_virtual_address 1 while this machine has the virtual address.
# TYPE zatoha_lb_virtual_address gauge
zatoha_lb_virtual_address{address="127.0.0.1"} 1
# HELP zatoha_lb_virtual_address_yielded 1 from a yield until it is resumed.
# TYPE zatoha_lb_virtual_address_yielded gauge
zatoha_lb_virtual_address_yielded{address="127.0.0.1"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
