package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"zatoha/haproxy"
)

// TestNobodyMeetsAServerThatLeftAfterAReload has one server serve two clients, of which one is idle and one waits for its
// answer when the pool grows by a reload, and drains it then.
func TestNobodyMeetsAServerThatLeftAfterAReload(t *testing.T) {
	d, _ := start(t, 1)
	arrived, release := make(chan struct{}), make(chan struct{})
	first, second := serverNamed(t, "first", arrived, release), serverNamed(t, "second", nil, nil)
	first.Name, second.Name = "slot-001", "slot-002"
	must(t, errorOf(d.Rebuild(t.Context(), []haproxy.Server{first}, haproxy.ReloadToGrow)))
	idle, busy := dial(t, d.options.Bind), dial(t, d.options.Bind)
	if body := idle.get(t, "/"); body != "first" {
		t.Fatalf("%q served before the reload", body)
	}
	busy.send(t, "/work")
	<-arrived

	must(t, errorOf(d.Rebuild(t.Context(), []haproxy.Server{first, second}, haproxy.ReloadToGrow)))
	left := first
	left.Admin = haproxy.Drain
	must(t, errorOf(d.Set(t.Context(), []haproxy.Change{{From: first, To: left}})))
	if stats, err := d.Stats(t.Context()); err != nil || stats.Servers["slot-001"].Sessions != 1 {
		t.Errorf("with a request in hand in the old worker, its server has %d sessions, %v", stats.Servers["slot-001"].Sessions, err)
	}
	if body := idle.get(t, "/"); body != "second" {
		t.Errorf("%q served a client of the old worker after it had left", body)
	}
	close(release)
	if body := busy.receive(t); body != "first" {
		t.Errorf("the request in hand got %q", body)
	}
	for deadline := time.After(10 * time.Second); ; {
		stats, err := d.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Servers["slot-001"].Sessions == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("it does not get idle")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSessionsAreCountedByServer(t *testing.T) {
	const answer = "0x1: proto=tcpv4 src=127.0.0.1:1 fe=f be=bck_http_plain srv=slot-001 ts=00\n" +
		"0x2: proto=tcpv4 src=127.0.0.1:2 fe=f be=bck_http_plain srv=slot-002 ts=00\n" +
		"0x3: proto=tcpv4 src=127.0.0.1:3 fe=f be=bck_http_plain srv=slot-001 ts=00\n" +
		"0x4: proto=tcpv4 src=127.0.0.1:4 fe=f be=bck_http_plain srv=<none> ts=00\n" +
		"0x5: proto=tcpv4 src=127.0.0.1:5 fe=f be=other srv=slot-001 ts=00\n" +
		"0x6: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00\n\n"
	if got := parseSessions(answer, haproxy.Backend); len(got) != 2 || got["slot-001"] != 2 || got["slot-002"] != 1 {
		t.Errorf("counted %v", got)
	}
}

// serverNamed answers with its name; what asks for /work is reported and held.
func serverNamed(t *testing.T, name string, arrived chan<- struct{}, release <-chan struct{}) haproxy.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/work" {
			arrived <- struct{}{}
			<-release
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(server.Close)
	address := server.Listener.Addr().(*net.TCPAddr)
	return haproxy.Server{Address: address.IP.String(), Port: address.Port, Weight: 1, Admin: haproxy.Ready, Note: "node/" + name}
}

// client is one connection, which is never opened anew.
type client struct {
	net.Conn
	reader *bufio.Reader
}

func dial(t *testing.T, address string) client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	return client{conn, bufio.NewReader(conn)}
}

func (c client) send(t *testing.T, path string) {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path)
	must(t, err)
}

func (c client) receive(t *testing.T) string {
	t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return string(body)
}

func (c client) get(t *testing.T, path string) string {
	t.Helper()
	c.send(t, path)
	return c.receive(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
