package fleet

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zatoha/deploy/netns"
)

// threeAndOne are three hosts with a Consul server and one without, on no network.
func threeAndOne(t *testing.T) *Fleet {
	f := &Fleet{Config: Config{Dir: t.TempDir()}}
	for i, role := range Equal(4) {
		address := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
		f.Nodes = append(f.Nodes, &Node{Role: role, Host: &netns.Host{Name: role.Name, Address: address}, fleet: f})
	}
	return f
}

func TestEachHostHasAnAgentAndTokens(t *testing.T) {
	f := threeAndOne(t)
	want := strings.Fields("--server n1=10.0.0.1 --client n1=10.0.0.1 --server n2=10.0.0.2 --client n2=10.0.0.2 --server n3=10.0.0.3 --client n3=10.0.0.3 --client n4=10.0.0.4")
	if got := f.machines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	f.FastGossip = true
	if got := f.machines(); !slices.Equal(got, append([]string{"--fast-gossip"}, want...)) {
		t.Errorf("with fast gossip: %q", got)
	}
}

func TestARefusedRightIsFoundInTheLogs(t *testing.T) {
	f := threeAndOne(t)
	if err := os.MkdirAll(f.LogDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	const fine, refused = `{"message":"403 requests"}` + "\n", `{"error":"Unexpected response code: 403 (Permission denied: …)"}` + "\n"
	for node, text := range map[int]string{0: fine, 3: fine + refused + fine} {
		if err := os.WriteFile(f.Nodes[node].Log("track"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []*Fleet{f, {Behind: []*Fleet{threeAndOne(t), f}}} {
		lines, err := of.Refused()
		if err != nil || !slices.Equal(lines, []string{"track on n4: " + strings.TrimSpace(refused)}) {
			t.Errorf("%q, %v", lines, err)
		}
	}
}

func TestEqualHosts(t *testing.T) {
	roles := Equal(4)
	if roles[0].Name != "n1" || !roles[2].ConsulServer || roles[3].ConsulServer || !roles[3].Balances {
		t.Errorf("%+v", roles)
	}
}

func TestASmallClusterHasAllThatItTakes(t *testing.T) {
	clusters := Small("a", "b")
	if role := clusters[1].Roles[0]; len(clusters) != 2 || clusters[1].Name != "b" || role.Name != "b-1" || !role.ConsulServer || role.Servers != 2 || !role.Balances {
		t.Errorf("%+v", clusters)
	}
	if roles := Outer(2); roles[1].Name != "outer-2" || !roles[1].Outer || !roles[1].Balances || roles[1].Servers != 0 || roles[1].ConsulServer {
		t.Errorf("%+v", roles)
	}
}

func TestWhatIsInFrontOfAClusterIsItsOnlyLoadBalancerOrTheSharedAddress(t *testing.T) {
	f := threeAndOne(t)
	f.Virtual = netip.MustParseAddr("10.0.0.254")
	if got := f.Front(); got != "10.0.0.254:11223" {
		t.Error(got)
	}
	f.Nodes = f.Nodes[:1]
	if got := f.Front(); got != "10.0.0.1:11223" {
		t.Error(got)
	}
}

func TestUntil(t *testing.T) {
	tries := 0
	missing := errors.New("it is missing")
	if err := Until(t.Context(), func(context.Context) error {
		if tries++; tries < 3 {
			return missing
		}
		return nil
	}); err != nil || tries != 3 {
		t.Error(tries, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Until(ctx, func(context.Context) error { return missing }); !errors.Is(err, missing) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
