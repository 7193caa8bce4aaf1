package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/server/front/proxy"
	"zatoha/server/service"
)

// startForwarding serves ping and POST /echo, and has an application behind it that answers everything else.
func startForwarding(t *testing.T, limits Limits, handler http.HandlerFunc, more ...Option) running {
	t.Helper()
	application := httptest.NewServer(handler)
	t.Cleanup(application.Close)
	var table Table
	ping, _ := service.NewRegistry().Lookup("zato.ping")
	echo := func(_ *service.Context, q service.Request) (service.Response, error) {
		return service.Response{Payload: q.Payload}, nil
	}
	if err := table.Add("/zato/ping", ping, "GET", "POST"); err != nil {
		t.Fatal(err)
	}
	if err := table.Add("/echo", echo, "POST"); err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	options := proxy.DefaultOptions()
	options.Upstream, options.Refuse = application.URL, Fail
	options.Registry, options.Log = prometheus.NewRegistry(), zerolog.New(log)
	p, err := proxy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	f := New(&table, limits, prometheus.NewRegistry(), zerolog.New(log), append(more, WithApplication(p))...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.Serve(listener) }()
	t.Cleanup(func() {
		if err := f.Shutdown(time.Second); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return running{f, listener.Addr().String(), log}
}

func TestServicesAndTheApplicationShareAServer(t *testing.T) {
	r := startForwarding(t, smallLimits(), func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL, len(body))
	})
	const large = 300_000 // the limit of services is 1,000
	for _, c := range []struct {
		name, request string
		status        int
		body          string
	}{
		{"ping", "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"service", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"},
		{"service, chunks", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, "hi"},
		{"service, too large", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001), 413, refusal(bodyTooLarge)},
		{"service, very much too large", fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", large) + strings.Repeat("x", large), 413, refusal(bodyTooLarge)},
		{"service, large chunk", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("a", 2000) + "\r\n0\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"service, bad chunk", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhzz\r\n", 400, refusal("this is no valid HTTP request")},
		{"service, slow body", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", 408, refusal("the request did not arrive in time")},
		{"service, large body announced", "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"other method of a service", "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, refusal("this path takes POST")},
		{"own path", "GET /zato HTTP/1.1\r\nHost: x\r\n\r\n", 404, refusal("nothing is at this path")},
		{"invocation where there are none", "POST /zato/invoke/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 2\r\n\r\nhi", 404, refusal("nothing is at this path")},
		{"own path, large body announced", "PUT /zato/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"application, a segment that passes for a host", "GET //x/shop?:// HTTP/1.1\r\nHost: x\r\n\r\n", 400, refusal("this is no valid HTTP request")},
		{"application, the same announced", "PUT //x/shop?:// HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"application, dots", "GET /a/x/../../shop HTTP/1.1\r\nHost: x\r\n\r\n", 400, refusal("this request cannot be passed on")},
		{"application", "GET /shop?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /shop?x=1 0"},
		{"application, large body", fmt.Sprintf("PUT /shop HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", large) + strings.Repeat("x", large), 200, "PUT /shop 300000"},
	} {
		t.Run(c.name, func(t *testing.T) { r.exchange(t, c.request).check(t, c.status, c.body) })
	}
	t.Run("application, large body announced", func(t *testing.T) {
		c := r.dial(t)
		in := bufio.NewReader(c)
		if _, err := fmt.Fprintf(c, "PUT /shop HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", large); err != nil {
			t.Fatal(err)
		}
		if got, err := http.ReadResponse(in, nil); err != nil || got.StatusCode != 100 {
			t.Fatalf("%v, %v", got, err)
		}
		if _, err := io.WriteString(c, strings.Repeat("x", large)); err != nil {
			t.Fatal(err)
		}
		receive(t, in).check(t, 200, "PUT /shop 300000")
	})
	metrics := r.exchange(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body
	for _, line := range []string{
		`zato_server_requests_total{route="proxied",status="200"} 3`,
		`zato_server_requests_total{route="/echo",status="413"} 3`,
		`zato_server_requests_total{route="/echo",status="408"} 1`,
		`zato_server_requests_total{route="unreadable",status="413"} 3`, // announced
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
	if strings.Contains(metrics, `route="unreadable",status="408"`) {
		t.Error("a body that did not arrive in time counts as two requests")
	}
	large413 := r.exchange(t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100_000))
	if want := `"cid":"` + large413.Header.Get("X-Zato-CID") + `","status":413,"message":"refused a request"`; !strings.Contains(r.log.String(), want) {
		t.Errorf("no %s in\n%s", want, r.log.String())
	}
}

func TestShutdownEndsWhatTheApplicationDoesNotFinish(t *testing.T) {
	entered := make(chan struct{})
	r := startForwarding(t, DefaultLimits(), func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	c := r.dial(t)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown(20 * time.Millisecond) }()
	receive(t, bufio.NewReader(c)).check(t, 503, refusal("the server is stopping"))
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A body that comes in slowly must not take a host whose time is over past the fence.
func TestAHostWhoseTimeEndsWhileItSendsIsRefused(t *testing.T) {
	var runs atomic.Int64
	i := invocations(t, map[string]service.Service{
		"count": func(*service.Context, service.Request) (service.Response, error) {
			runs.Add(1)
			return service.Response{}, nil
		},
	})
	r := startForwarding(t, DefaultLimits(), http.NotFound, WithInvocations(i))
	c := r.dial(t)
	text := message("count", "amqp-1", "7", "m1", strings.Repeat("x", 100_000)) // so much that fasthttp does not read it first
	if _, err := io.WriteString(c, text[:len(text)-3]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is admitted", func() bool { return i.Fence.Highest() == 7 })
	i.Fence.Learn(8)
	if _, err := io.WriteString(c, text[len(text)-3:]); err != nil {
		t.Fatal(err)
	}
	receive(t, bufio.NewReader(c)).check(t, 409, refusal("epoch 7 is over, there is 8: another connector host has taken over"))
	if runs.Load() != 0 {
		t.Error("the service ran")
	}
}
