package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPlainAgents(t *testing.T) {
	servers := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	for _, test := range []struct {
		agent      Agent
		want, none []string
	}{
		{
			Agent{Name: "a", Address: servers[0], Server: true, Servers: servers, DataDir: "/d", Gossip: Tuned()},
			[]string{`"server": true`, `"bootstrap_expect": 2`, `"retry_join": [ "10.0.0.2" ]`, `"raft_multiplier": 1`, `"cleanup_dead_servers": false`, `"probe_interval": "250ms"`, `"suspicion_mult": 3`, `"bind_addr": "10.0.0.1"`},
			nil,
		},
		{
			Agent{Name: "c", Address: netip.MustParseAddr("10.0.0.3"), Servers: servers, DataDir: "/d"},
			[]string{`"retry_join": [ "10.0.0.1", "10.0.0.2" ]`, `"gossip_lan": {}`},
			[]string{"bootstrap_expect", `"server"`, "probe"},
		},
	} {
		files, err := Plain(test.agent)
		text := strings.Join(strings.Fields(string(files.Config["consul.json"])), " ")
		if err != nil || !json.Valid([]byte(text)) {
			t.Fatal(err, text)
		}
		for _, part := range test.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %s:\n%s", test.agent.Name, part, text)
			}
		}
		for _, part := range test.none {
			if strings.Contains(text, part) {
				t.Errorf("%s has %s:\n%s", test.agent.Name, part, text)
			}
		}
	}
}

func TestEqualHosts(t *testing.T) {
	roles := Equal(4)
	if roles[0].Name != "n1" || !roles[2].ConsulServer || roles[3].ConsulServer || !roles[3].Balances {
		t.Errorf("%+v", roles)
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
