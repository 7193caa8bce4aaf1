package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	askUpgrade   = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
	grantUpgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"
)

// echo grants upgrades and then sends back what it gets, until the client ends.
func echo(t testing.TB) string {
	return script(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := readHead(in); err != nil {
			return
		}
		_, _ = io.WriteString(c, grantUpgrade)
		_, _ = io.Copy(c, in)
	})
}

func (s *stage) upgrade(t testing.TB, early string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := s.dial(t)
	send(t, c, askUpgrade+early)
	in := bufio.NewReader(c)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := response.Header
	if response.StatusCode != 101 || h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" || h.Get("Sec-WebSocket-Accept") != "y" || h.Get("X-Zato-CID") != testCID {
		t.Fatalf("%v", response)
	}
	return c, in
}

func expect(t testing.TB, in io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

func TestAnUpgradedConnectionCarriesEverything(t *testing.T) {
	s := start(t, echo(t), nil)
	c, in := s.upgrade(t, "early")
	expect(t, in, "early")
	for _, message := range []string{"a", strings.Repeat("b", 100_000), "c"} {
		go func() { _, _ = io.WriteString(c, message) }()
		expect(t, in, message)
	}
	if got := s.metric(t, "zato_server_upstream_tunnels"); got != 1 {
		t.Errorf("%v tunnels are counted", got)
	}
	// Half closed: what is on its way still arrives.
	send(t, c, "last")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expect(t, in, "last")
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
	eventually(t, "the tunnel is forgotten", func() bool { return s.metric(t, "zato_server_upstream_tunnels") == 0 })
}

func TestTheApplicationCanEndATunnel(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, grantUpgrade+"bye")
	}), nil)
	c, in := s.upgrade(t, "")
	expect(t, in, "bye")
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
	_ = c.Close()
}

func TestAClientThatDoesNotHangUpIsHungUpOn(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, grantUpgrade)
	}), func(o *Options) { o.BodyTimeout = 100 * time.Millisecond })
	s.upgrade(t, "")
	eventually(t, "the tunnel is forgotten", func() bool { return s.metric(t, "zato_server_upstream_tunnels") == 0 })
}

func TestASilentTunnelEnds(t *testing.T) {
	s := start(t, echo(t), func(o *Options) { o.TunnelTimeout = 100 * time.Millisecond })
	c, _ := s.upgrade(t, "")
	began := time.Now()
	if err := ended(c); isTimeout(err) {
		t.Error("the tunnel is still there")
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("it ended after %v", took)
	}
}

func TestOneBusyDirectionKeepsATunnel(t *testing.T) {
	s := start(t, script(t, func(c net.Conn, in *bufio.Reader) {
		_, _ = readHead(in)
		_, _ = io.WriteString(c, grantUpgrade)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 20 {
			<-tick.C
			_, _ = io.WriteString(c, "x")
		}
	}), func(o *Options) { o.TunnelTimeout = 150 * time.Millisecond })
	_, in := s.upgrade(t, "")
	expect(t, in, strings.Repeat("x", 20))
}

func TestTunnelsEndWithTheProxy(t *testing.T) {
	s := start(t, echo(t), nil)
	var clients []net.Conn
	for range 10 {
		c, _ := s.upgrade(t, "")
		clients = append(clients, c)
	}
	s.Close()
	for _, c := range clients {
		if err := ended(c); isTimeout(err) {
			t.Error("a tunnel is still there")
		}
	}
}

func TestAnUpgradeMayBeDeclined(t *testing.T) {
	s := start(t, application(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = io.WriteString(w, r.Header.Get("Upgrade"))
	}), nil)
	c := s.dial(t)
	in := bufio.NewReader(c)
	for range 2 { // the connection goes on
		send(t, c, askUpgrade)
		receive(t, in, "GET").check(t, 426, "websocket")
	}
}
