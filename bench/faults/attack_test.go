package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zatoha/bench/slow"
	"zatoha/deploy/cluster"
)

func TestAnAttackThatIsNoneIsNoticed(t *testing.T) {
	const front, other = "127.0.0.1:1", "127.0.0.1:2"
	for _, test := range []struct{ script, address, want string }{
		{"echo no such host; exit 1", other, "slowhttptest has ended by itself (exit status 1): no such host"},
		{"exit 0", front, "slowhttptest has ended by itself (exit status 0)"},
		{"exec sleep 60", front, "haproxy's runtime socket"}, // nobody tells how many connections there are
	} {
		p := &play{stage: &stage{Cluster: &cluster.Cluster{Config: cluster.Config{Dir: t.TempDir(), Front: front}}}}
		tool := filepath.Join(p.Dir, "tool")
		if err := os.WriteFile(tool, []byte("#!/bin/sh\n"+test.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := toolAttack(tool, slow.Headers, 1)(t.Context(), p, test.address)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestAnAttackThatEndsBeforeItsTimeIsNotWithstood(t *testing.T) {
	const front, other = "127.0.0.1:1", "127.0.0.1:2"
	p := &play{stage: &stage{Cluster: &cluster.Cluster{Config: cluster.Config{Dir: t.TempDir(), Front: front}}}}
	tool, err := p.Launch("slowhttptest", "/bin/sh", "-c", "echo out of memory; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	<-tool.Done()
	for _, address := range []string{front, other} {
		_, err := p.lasted(t.Context(), tool, address)
		if want := "slowhttptest has ended by itself (exit status 1): out of memory"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("at %s: %v, want %s", address, err, want)
		}
	}
}
