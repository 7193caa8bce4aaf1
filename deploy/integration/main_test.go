// Package integration holds the tests of the whole: real Consul, real HAProxy, our programs as they are shipped, on
// free ports of the loopback address. Each test starts a cluster of its own, does to it what operators and accidents
// do, and looks at it from outside, mostly through a raw keep-alive client that counts every failed request and every
// closed connection.
//
// Measured times are logged, not asserted, except against generous bounds.
package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"zatoha/bench/load"
	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
)

// bin is the folder with our programs; the others are the paths of the programs that we run.
var bin, consulBin, haproxyBin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	consul, consulErr := find.FindConsul()
	haproxy, haproxyErr := find.FindHAProxy()
	if err := errors.Join(consulErr, haproxyErr); err != nil {
		fmt.Printf("SKIPPED: no test with the real programs was run: %v\n", err)
		if os.Getenv("ZATOHA_REQUIRE_TOOLS") != "" {
			return 1
		}
		return 0
	}
	folder, err := os.MkdirTemp("", "zatoha-bin")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(folder)
	bin, consulBin, haproxyBin = folder, consul, haproxy
	build := exec.Command("go", "build", "-o", folder,
		"zatoha/lb", "zatoha/server/cmd/server", "zatoha/connectorhost", "zatoha/deploy/local", "zatoha/deploy/consul", "zatoha/deploy/edge")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building the programs: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

const (
	// bound is generous: whatever takes longer is broken, however slow the machine.
	bound    = 20 * time.Second
	settling = 500 * time.Millisecond // of load before a fault, and behind it
)

// newConfig is a cluster of n servers on free ports in a folder of its own.
func newConfig(t *testing.T, servers int) cluster.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "zatoha") // t.TempDir is too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs are kept in %s", filepath.Join(dir, "log"))
			return
		}
		os.RemoveAll(dir)
	})
	ports, err := freeport.Some(3 + servers)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, port := range ports {
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return cluster.Config{
		Bin: bin, ConsulBin: consulBin, HAProxyBin: haproxyBin, Dir: dir,
		ConsulAddr: addresses[0], Front: addresses[1], Admin: addresses[2], Servers: addresses[3:],
	}
}

// started is a running cluster, stopped when the test ends.
func started(t *testing.T, config cluster.Config) *cluster.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	c, err := cluster.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// await waits until the status page is as wanted and says how long that took.
func await(t *testing.T, c *cluster.Cluster, wanted func(cluster.Status) bool) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	since := time.Now()
	if err := c.Await(ctx, wanted); err != nil {
		t.Fatal(err)
	}
	return time.Since(since)
}

// eventually tries until the condition holds; its error says what does not.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(bound)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", bound, err)
		}
		<-poll.C
	}
}

// inRotation is wanted when n servers take traffic.
func inRotation(n int) func(cluster.Status) bool {
	return func(s cluster.Status) bool { return len(s.Rotation) == n }
}

// status reads the status page once.
func status(t *testing.T, c *cluster.Cluster) cluster.Status {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// underLoad begins to ask the front for /zato/ping and lets it run for a moment.
func underLoad(t *testing.T, c *cluster.Cluster) *load.Running {
	t.Helper()
	running, err := load.Start(t.Context(), load.Options{
		Addr: c.Front, Connections: 16, Templates: []load.Template{load.Get("/zato/ping")}, Rate: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, settling)
	return running
}

// pass lets the load go on for a while.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// noErrors ends the load and wants it unharmed.
func noErrors(t *testing.T, running *load.Running) {
	t.Helper()
	errorsAtMost(t, running, 0)
}

// errorsAtMost is noErrors where that many requests may fail.
func errorsAtMost(t *testing.T, running *load.Running, most int) {
	t.Helper()
	pass(t, settling)
	report := running.Stop()
	t.Log(report)
	if report.Errors() > most || report.Requests == 0 {
		t.Errorf("%d of %d requests failed, at most %d may", report.Errors(), report.Requests, most)
	}
}
