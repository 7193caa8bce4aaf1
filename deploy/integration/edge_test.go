package integration

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"zatoha/bench/edge"
	"zatoha/bench/experiment"
	"zatoha/deploy/cluster"
	"zatoha/deploy/freeport"
	"zatoha/deploy/tools/find"
)

// edgePlayed plays scenarios of bench edge in their short form, with time to spare as other tests run beside them, and
// wants each to pass.
func edgePlayed(t *testing.T, o edge.Options) {
	t.Helper()
	o.Bin, o.Consul, o.HAProxy, o.Short, o.Slack, o.Progress = bin, consulBin, haproxyBin, true, 5, t.Output()
	outcome, err := edge.Run(t.Context(), o)
	if err != nil {
		t.Error(err)
	}
	if passed, text := outcome.Summary(); !passed {
		t.Errorf("%s: %q", text, outcome.Shortfalls())
	}
}

func TestAClusterDiesHangsAndIsDrainedBehindTheEdge(t *testing.T) {
	t.Parallel() // mostly it waits
	edgePlayed(t, edge.Options{Options: experiment.Options{Only: experiment.Only{"edge-kill", "edge-kill-servers", "edge-hang", "edge-drain"}}})
}

func TestEveryProgramIsUpgradedWithoutAFailedRequestOrALostMessage(t *testing.T) {
	t.Parallel()
	rabbitMQ, err := find.FindRabbitMQ()
	if errors.Is(err, find.ErrMissing) && os.Getenv("ZATOHA_REQUIRE_TOOLS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X zatoha/deploy/program.release=next", "-o", next+"/",
		"zatoha/lb", "zatoha/server/cmd/server", "zatoha/connectorhost", "zatoha/deploy/edge")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the next version: %v\n%s", err, output)
	}
	edgePlayed(t, edge.Options{
		NextBin: next, Next: "next", RabbitMQ: rabbitMQ, Options: experiment.Options{Only: experiment.Only{"edge-upgrade"}},
	})
}

// TestWhatTheEdgeSaysOfTheClientIsBelieved sends a request through both load balancers, and others that lie.
func TestWhatTheEdgeSaysOfTheClientIsBelieved(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Zato-CID", "K-of-the-server")
		fmt.Fprintf(w, "%s %s", r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"])
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-Ip"} {
			if said := r.Header[name]; said != nil {
				fmt.Fprintf(w, " %s", said)
			}
		}
	}
	c := fronted(t, handler, "--trusted-proxies=127.0.0.1", "--rate-limit=3/10s")
	wary := fronted(t, handler, "--trusted-proxies=10.0.0.1")
	address := freeport.For(t)
	path := filepath.Join(t.TempDir(), "front.pem")
	certificate := writeCertificate(t, path)
	front := freeport.For(t)
	outer, err := cluster.StartEdge(t.Context(), cluster.EdgeConfig{
		Bin: bin, HAProxyBin: haproxyBin, Dir: filepath.Join(c.Dir, "outer"), Front: front,
		Args: []string{"--clusters", "a=" + c.Front, "--tls-listen", address, "--tls-cert", path},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outer.Kill)
	response, body := ask(t, trusting(certificate), "https://"+address+"/hello")
	if response.StatusCode != http.StatusOK || body != "[127.0.0.1] [https]" || response.Header.Get("X-Zato-CID") != "K-of-the-server" {
		t.Errorf("through both: %s %s %v", response.Status, body, response.Header)
	}

	const lie = "GET /hello HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\nX-Forwarded-Proto: https\r\n" +
		"x-forwarded-host: shop\r\nX-Forwarded-Prefix: /shop\r\nX-REAL-IP: 7\r\n\r\n"
	for _, said := range []struct{ by, address, client, want string }{
		{"a trusted proxy", c.Front, "192.0.2.7", "[192.0.2.7] [https] [shop] [/shop] [7]"},
		{"a trusted proxy, of two", c.Front, "192.0.2.66, 192.0.2.8", "[192.0.2.8] [https] [shop] [/shop] [7]"},
		{"a trusted proxy, of nonsense", c.Front, "nonsense", "[127.0.0.1] [https] [shop] [/shop] [7]"},
		{"a trusted proxy, in IPv6", c.Front, "2001:db8::1", "[2001:db8::1] [https] [shop] [/shop] [7]"},
		{"a stranger", wary.Front, "192.0.2.7", "[127.0.0.1] [http]"},
		{"a client of the outer one", front, "192.0.2.7", "[127.0.0.1] [http]"},
	} {
		if response, body := converse(t, said.address, fmt.Sprintf(lie, said.client)); body != said.want {
			t.Errorf("said by %s: %s %s, want %s", said.by, response.Status, body, said.want)
		}
	}

	// Two clients over one connection are two.
	conn, err := net.Dial("tcp", c.Front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	codes := map[string]int{}
	for i := range 8 {
		client := fmt.Sprintf("198.51.100.%d", 1+i%2)
		response, _ := converseOver(t, conn, fmt.Sprintf(lie, client))
		if response.StatusCode == http.StatusOK {
			codes[client]++
		}
	}
	if codes["198.51.100.1"] != 3 || codes["198.51.100.2"] != 3 {
		t.Errorf("of four requests of each client, answered were %v; want 3 by the limit", codes)
	}
	if said, err := outer.Run(t.Context(), "status", "--sockets", outer.Socket()); err != nil || !strings.Contains(said, "UP") {
		t.Errorf("its status: %v\n%s", err, said)
	}
}
