package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// fasthttp keeps the Date header up to date for the life of the process, and a worker pool that was stopped finds out
	// when it next wakes from its sleep of 10 s.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// These are of the client that the benchmark compares with.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"))
}

const testCID = "K000000000000000000000000000000000000001"

// stage is a server that hands everything to a proxy.
type stage struct {
	*Proxy
	address  string
	registry *prometheus.Registry
	log      *lockedBuffer
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

func testOptions(upstream string) Options {
	o := DefaultOptions()
	o.Upstream = upstream
	o.Registry = prometheus.NewRegistry()
	o.Log = zerolog.Nop()
	o.Refuse = func(ctx *fasthttp.RequestCtx, status int, cid, details string) {
		ctx.Response.SetStatusCode(status)
		ctx.Response.Header.SetCanonical([]byte(cidName), []byte(cid))
		ctx.Response.SetBodyString("refused: " + details)
	}
	return o
}

// start serves until the test ends.
func start(t testing.TB, upstream string, change func(*Options)) *stage {
	t.Helper()
	o := testOptions(upstream)
	s := &stage{log: &lockedBuffer{}}
	o.Log = zerolog.New(s.log)
	if change != nil {
		change(&o)
	}
	s.registry, _ = o.Registry.(*prometheus.Registry)
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Proxy = p
	server := &fasthttp.Server{
		Handler:           func(ctx *fasthttp.RequestCtx) { p.Handle(ctx, testCID) },
		StreamRequestBody: true, ReadBufferSize: 16 << 10, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
		DisablePreParseMultipartForm: true, NoDefaultServerHeader: true, CloseOnShutdown: true, Logger: quiet{},
	}
	listener := listen(t)
	s.address = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		p.Close()
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		_ = listener.Close() // if the server was stopped before it began to serve, it has not
		if err := <-served; err != nil {
			t.Error(err)
		}
		if active, idle := p.pool.counts(); active != 0 || idle != 0 {
			t.Errorf("%d active and %d idle connections are left", active, idle)
		}
		if n := len(p.pool.slots); n != 0 {
			t.Errorf("%d slots are still taken", n)
		}
	})
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// application is an upstream made with net/http.
func application(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// script is an upstream that does with each connection what it is told, whatever HTTP says. It waits for all of them.
func script(t testing.TB, play func(c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	listener := listen(t)
	var playing sync.WaitGroup
	playing.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			playing.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				play(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		playing.Wait()
	})
	return "http://" + listener.Addr().String()
}

// readHead reads up to and with the empty line.
func readHead(in *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := in.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

// answering is a script that answers every request, which must have no body, with the same bytes; then it closes.
func answering(t testing.TB, response string) string {
	return script(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := readHead(in); err == nil {
			_, _ = io.WriteString(c, response)
		}
	})
}

func (s *stage) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// answer is a response, its body, and what became of reading that.
type answer struct {
	*http.Response
	body string
	err  error
}

func receive(t testing.TB, in *bufio.Reader, method string) answer {
	t.Helper()
	response, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body), err}
}

// exchange sends a request on a connection of its own.
func (s *stage) exchange(t testing.TB, request string) answer {
	t.Helper()
	c := s.dial(t)
	send(t, c, request)
	method, _, _ := strings.Cut(request, " ")
	return receive(t, bufio.NewReader(c), method)
}

func (a answer) check(t testing.TB, status int, body string) {
	t.Helper()
	if a.StatusCode != status || a.body != body || a.err != nil {
		t.Errorf("got  %d %.300q, %v\nwant %d %.300q", a.StatusCode, a.body, a.err, status, body)
	}
	if got := a.Header.Values("X-Zato-CID"); len(got) != 1 || got[0] != testCID {
		t.Errorf("X-Zato-CID is %q", got)
	}
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// metric is the value of a series, by its name and labels as Prometheus writes them.
func (s *stage) metric(t testing.TB, series string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += fmt.Sprintf("{%s=%q}", label.GetName(), label.GetValue())
			}
			if name == series {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

// ended reads until the connection ends and tells how it did.
func ended(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
