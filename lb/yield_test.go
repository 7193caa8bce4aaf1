package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"zatoha/lb/address"
)

func TestWhereTheFrontsAre(t *testing.T) {
	for _, test := range []struct {
		fronts  fronts
		monitor string
		ports   []uint16
	}{
		{fronts{Listen: "0.0.0.0:11223"}, "http://127.0.0.1:11223/zato-lb-alive", []uint16{11223}},
		{fronts{Listen: ":80", TLSListen: ":443"}, "http://127.0.0.1:80/zato-lb-alive", []uint16{80, 443}},
		{fronts{Listen: "10.0.0.1:80"}, "http://10.0.0.1:80/zato-lb-alive", []uint16{80}},
	} {
		if got := test.fronts.monitor(); got != test.monitor {
			t.Errorf("%+v: %s, want %s", test.fronts, got, test.monitor)
		}
		if got := test.fronts.ports(); len(got) != len(test.ports) || got[0] != test.ports[0] {
			t.Errorf("%+v: %d, want %d", test.fronts, got, test.ports)
		}
	}
}

func TestOnlyTheMachineOfHAProxyYields(t *testing.T) {
	g := &grammar{StateDir: t.TempDir(), DataPlane: dataPlaneFlags{URL: "http://haproxy:5555"}}
	if err := (&yieldCommand{}).Run(t.Context(), zerolog.Nop(), g); err == nil || !strings.Contains(err.Error(), "--dataplane-url") {
		t.Error(err)
	}
}

func TestAHAProxyThatWasNotToldOfTheAddressCannotYield(t *testing.T) {
	dir := t.TempDir()
	g := &grammar{StateDir: dir, HAProxyCfg: filepath.Join(dir, "haproxy.cfg")}
	for _, text := range []string{"", "frontend f\n"} {
		if text != "" {
			if err := os.WriteFile(g.HAProxyCfg, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := (&yieldCommand{}).Run(t.Context(), zerolog.Nop(), g); err == nil || !strings.Contains(err.Error(), "start the load balancer with the same flag") {
			t.Error(err)
		}
	}
}

func TestBadVirtualAddresses(t *testing.T) {
	for _, text := range []string{"10.0.0.300", "fe80::1%eth0", "0.0.0.0"} {
		var flags struct{ settings }
		parser, err := kong.New(&flags)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"--virtual-address=" + text}); err == nil || !strings.Contains(err.Error(), "--virtual-address") {
			t.Errorf("%s: %v", text, err)
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
