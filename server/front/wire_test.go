package front

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/server/service"
)

// running is a front on a real listener.
type running struct {
	*Front
	address string
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func smallLimits() Limits {
	limits := DefaultLimits()
	limits.HeaderBytes, limits.BodyBytes, limits.ReadTimeout = 4096, 1000, 200*time.Millisecond
	return limits
}

// start serves ping, and the given services at POST /name. The test ends with an orderly shutdown.
func start(t testing.TB, limits Limits, services map[string]service.Service) running {
	t.Helper()
	var table Table
	ping, _ := service.NewRegistry().Lookup("zato.ping")
	if err := table.Add("/zato/ping", ping, "GET", "POST"); err != nil {
		t.Fatal(err)
	}
	for name, s := range services {
		if err := table.Add("/"+name, s, "POST"); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	f := New(&table, limits, prometheus.NewRegistry(), zerolog.New(log))
	served := make(chan error, 1)
	go func() { served <- f.Serve(listener) }()
	t.Cleanup(func() {
		if err := f.Shutdown(5 * time.Second); err != nil && !t.Failed() {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return running{f, listener.Addr().String(), log}
}

// dial opens a connection on which nothing lasts longer than a few seconds.
func (r running) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is a response and its body.
type answer struct {
	*http.Response
	body string
}

func receive(t testing.TB, from *bufio.Reader) answer {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("no whole body after %q: %v", body, err)
	}
	return answer{response, string(body)}
}

func (r running) exchange(t testing.TB, request string) answer {
	t.Helper()
	c := r.dial(t)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return receive(t, bufio.NewReader(c))
}

var validCID = regexp.MustCompile(`^K[0-9]{39}$`)

func (a answer) check(t testing.TB, status int, body string) {
	t.Helper()
	cid := a.Header.Get("X-Zato-CID")
	if !validCID.MatchString(cid) {
		t.Errorf("X-Zato-CID is %q", cid)
	}
	if want := strings.ReplaceAll(body, "CID", cid); a.StatusCode != status || a.body != want {
		t.Errorf("got  %d %s\nwant %d %s", a.StatusCode, a.body, status, want)
	}
	if got := a.Header.Values("Content-Type"); len(got) != 1 || got[0] != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	if got := a.Header.Get("Retry-After"); (got != "") != (status == 503) {
		t.Errorf("status %d has Retry-After %q", status, got)
	}
	if got := a.Header.Values("Server"); got != nil {
		t.Errorf("Server is %q", got)
	}
}

func refusal(details string) string {
	return `{"zato_env": {"result": "ZATO_ERROR", "cid": "CID", "details": "` + details + `"}}`
}
