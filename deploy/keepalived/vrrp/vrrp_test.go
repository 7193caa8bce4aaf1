package vrrp

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"zatoha/deploy/tools/find"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func nodes(n int) (all []Node) {
	for i := range n {
		all = append(all, Node{Name: string(rune('a' + i)), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})})
	}
	return all
}

func pair() Config {
	c := Default()
	c.Nodes, c.Virtual = nodes(2), netip.MustParsePrefix("10.0.0.100/24")
	return c
}

func outers() Config {
	c := DefaultOuter()
	c.Nodes, c.Virtual, c.RouterID = nodes(2), netip.MustParsePrefix("10.0.0.200/24"), 52
	return c
}

func threeOfSix() Config {
	c := Default()
	for i := range 3 {
		c.Nodes = append(c.Nodes, Node{Name: fmt.Sprintf("lb-%d.example", i+1), Address: netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1))})
	}
	c.Virtual = netip.MustParsePrefix("fd00::100/64")
	c.Interface, c.RouterID, c.Advert, c.Probe = "enp1s0", 7, 100*time.Millisecond, ""
	return c
}

// shipped are the golden files, and whose file each is.
var shipped = []struct {
	path, node string
	config     Config
}{
	{"testdata/pair-a.conf", "a", pair()},
	{"testdata/pair-b.conf", "b", pair()},
	{"testdata/outer-b.conf", "b", outers()},
	{"testdata/three-v6.conf", "lb-2.example", threeOfSix()},
}

func TestTheShippedFiles(t *testing.T) {
	for _, test := range shipped {
		if err := test.config.Validate(); err != nil {
			t.Error(err)
		}
		got, err := test.config.File(test.node)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(test.path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("not %s; if the new text is right, run go test ./deploy/keepalived/vrrp -update\n%s", test.path, got)
		}
	}
}

func TestKeepalivedTakesTheFiles(t *testing.T) {
	keepalived, err := find.FindKeepalived()
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{pair(), outers()} {
		c.Interface, c.User, c.Probe, c.Track = anInterface(t), "root", "/bin/true", filepath.Join(t.TempDir(), "track")
		if os.Geteuid() != 0 {
			t.Log("WITHOUT THE SCRIPT: keepalived takes one from root alone")
			c.Probe = ""
		}
		for _, node := range c.Nodes {
			keepalivedTakes(t, keepalived, c, node.Name)
		}
	}
}

func keepalivedTakes(t *testing.T, keepalived string, c Config, node string) {
	t.Helper()
	text, err := c.File(node)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if output, err := exec.CommandContext(ctx, keepalived, "--config-test", "--use-file", file).CombinedOutput(); err != nil {
		t.Errorf("keepalived refuses the file of %s: %v\n%s\n%s", node, err, output, text)
	}
}

// anInterface is one of this machine's that VRRP can be spoken on; keepalived looks for it.
func anInterface(t *testing.T) string {
	t.Helper()
	links, err := filepath.Glob("/sys/class/net/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name := filepath.Base(link); name != "lo" {
			return name
		}
	}
	t.Skip("SKIPPED: this machine has no interface but lo, which keepalived refuses")
	return ""
}

// TestEachNodeSpeaksToAllOthersOnly holds for any number of nodes.
func TestEachNodeSpeaksToAllOthersOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := pair()
		c.Nodes = nodes(rapid.IntRange(2, 20).Draw(t, "nodes"))
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, self := range c.Nodes {
			text, err := c.File(self.Name)
			if err != nil {
				t.Fatal(err)
			}
			var peers []string
			_, list, _ := strings.Cut(text, "unicast_peer {\n")
			list, _, _ = strings.Cut(list, "}")
			for line := range strings.Lines(list) {
				if fields := strings.Fields(line); len(fields) > 0 {
					peers = append(peers, fields[0])
				}
			}
			var want []string
			for _, other := range c.Nodes {
				if other != self {
					want = append(want, other.Address.String())
				}
			}
			if !slices.Equal(peers, want) || !strings.Contains(text, "unicast_src_ip "+self.Address.String()+"\n") {
				t.Fatalf("%s speaks to %q, want %q\n%s", self.Name, peers, want, text)
			}
		}
	})
}

func TestBadConfigsAreRefusedByFlag(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, test := range []struct {
		spoil func(c *Config)
		want  string
	}{
		{func(c *Config) { c.Nodes = c.Nodes[:1] }, "--node: there are 1: name at least two"},
		{func(c *Config) { c.Nodes[1].Name = "a" }, "--node a=10.0.0.2: there is another of that name"},
		{func(c *Config) { c.Nodes[1].Name = "a b" }, "--node a b=10.0.0.2: a name has"},
		{func(c *Config) { c.Nodes[1].Address = c.Nodes[0].Address }, "--node b=10.0.0.1: a has that address"},
		{func(c *Config) { c.Nodes[1].Address = netip.MustParseAddr("fd00::1") }, "--node b=fd00::1: all must be IPv4, or all IPv6"},
		{func(c *Config) { c.Nodes[1].Address = netip.MustParseAddr("127.0.0.1") }, "--node b=127.0.0.1: must be an address"},
		{func(c *Config) { c.Virtual = netip.Prefix{} }, "--virtual: name the address"},
		{func(c *Config) { c.Virtual = prefix("10.0.0.2/24") }, "--virtual 10.0.0.2/24: is the own address of a node"},
		{func(c *Config) { c.Virtual = prefix("fd00::100/64") }, "--virtual fd00::100/64: must be of the nodes' family"},
		{func(c *Config) { c.Virtual = prefix("0.0.0.0/0") }, "--virtual 0.0.0.0/0: must be an address"},
		{func(c *Config) { c.Interface = "eth0\n}" }, "--interface"},
		{func(c *Config) { c.RouterID = 256 }, "--router-id 256: must be 1..255"},
		{func(c *Config) { c.Advert = 5 * time.Millisecond }, "--advert 5ms: must be 10ms..40s"},
		{func(c *Config) { c.Advert = 123456 * time.Microsecond }, "--advert 123.456ms: must be 10ms..40s, in steps"},
		{func(c *Config) { c.Track = "track" }, `--track "track": must be an absolute path`},
		{func(c *Config) { c.Probe = `/bin/sh -c "true"` }, "--probe"},
		{func(c *Config) { c.User = "Nobody else" }, "--user"},
	} {
		c := pair()
		test.spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got: %v", test.want, err)
		}
	}
	if _, err := pair().File("c"); err == nil {
		t.Error("a file for nobody")
	}
	c := Config{}
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "--") < 6 {
		t.Errorf("not every fault is told: %v", err)
	}
}
