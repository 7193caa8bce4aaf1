package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zatoha/deploy/program"
)

func TestAFolderIsClaimedByOne(t *testing.T) {
	c := &Cluster{Config: Config{Dir: filepath.Join(t.TempDir(), "run")}}
	refused := func(want string) {
		t.Helper()
		if _, err := c.Claim(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it is claimed although %s: %v", want, err)
		}
	}
	claim := func() (letGo func()) {
		t.Helper()
		letGo, err := c.Claim()
		if err != nil {
			t.Fatal(err)
		}
		return letGo
	}
	letGo := claim()
	refused("another cluster runs in " + c.Dir)
	letGo()
	if err := os.MkdirAll(c.lbDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	claim()() // a load balancer that has never run there
	ends, err := program.Lock(filepath.Join(c.lbDir(), "lb.lock"), os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	refused("a load balancer runs in " + c.lbDir())
	ends()
	claim()()
}
