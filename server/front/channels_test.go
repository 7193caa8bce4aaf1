package front

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/server/channel"
	"zatoha/server/service"
)

// table is channels by "GET /path"; the name of each is its text.
func table(t testing.TB, routes map[string]*Route) *channel.Table[*Route] {
	t.Helper()
	var table channel.Table[*Route]
	for text, route := range routes {
		method, path, _ := strings.Cut(text, " ")
		pattern, err := channel.ParsePattern(path)
		if err != nil {
			t.Fatal(err)
		}
		route.Pattern, route.Channel = path, text
		if err := table.Add(text, pattern, []string{method}, route); err != nil {
			t.Fatal(err)
		}
	}
	return &table
}

// live serves channels beside ping.
func live(t testing.TB, limits Limits, routes map[string]*Route, options ...Option) (running, *Live) {
	t.Helper()
	router := &Live{}
	ping, _ := service.NewRegistry().Lookup("zato.ping")
	if err := router.Fixed.Add("/zato/ping", ping, "GET", "POST"); err != nil {
		t.Fatal(err)
	}
	router.Swap(table(t, routes))
	return serving(t, router, limits, options...), router
}

func serving(t testing.TB, router Router, limits Limits, options ...Option) running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	f := New(router, limits, prometheus.NewRegistry(), zerolog.New(log), options...)
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

// tell answers with what a service knows of its call.
func tell(ctx *service.Context, q service.Request) (service.Response, error) {
	return service.Response{Payload: fmt.Appendf(nil, "%s %s %s id=%s n=%s h=%s auth=%q key=%q trace=%.35s%s deadline=%t",
		ctx.Channel(), ctx.Caller(), q.Payload, q.Params["id"], q.Params["n"], q.Headers.Get("x-thing"),
		q.Headers.Get("Authorization"), q.Headers.Get("X-API-Key"), ctx.Trace(), ctx.Trace().State(), func() bool { _, set := ctx.Deadline(); return set }())}, nil
}

func get(path string, headers ...string) string { return ask("GET", path, "", headers...) }

func ask(method, path, body string, headers ...string) string {
	text := method + " " + path + " HTTP/1.1\r\nHost: x\r\n"
	for _, header := range headers {
		text += header + "\r\n"
	}
	if body != "" || method == "POST" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return text + "\r\n" + body
}

func TestChannelsAreReached(t *testing.T) {
	r, _ := live(t, DefaultLimits(), map[string]*Route{
		"GET /orders/{id}":   {Service: tell, Timeout: time.Second},
		"POST /orders":       {Service: tell, JSON: true, Timeout: time.Second},
		"DELETE /orders/all": {Service: tell, Timeout: time.Second},
		"POST /raw":          {Service: tell, Timeout: time.Second},
		"OPTIONS /own":       {Service: tell, Timeout: time.Second},
		"GET /zato-2/{x...}": {Service: tell, Timeout: time.Second},
		"GET /basic":         {Service: tell, Timeout: time.Second, Guard: NewBasicAuth("ada", "swordfish")},
		"GET /key":           {Service: tell, Timeout: time.Second, Guard: NewAPIKey("swordfish", "the one with the key")},
	})
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	const rest = ` auth="" key="" trace= deadline=true`
	const needsBasic, needsKey = "this channel needs a username and a password that it knows", "this channel needs a header X-API-Key with a key that it knows"
	for _, c := range []struct {
		request string
		status  int
		body    string
		allow   string
	}{
		{get("/orders/7?n=1&id=8&n=2", "X-Thing: a"), 200, "GET /orders/{id}   id=7 n=1 h=a" + rest, ""},
		{get("/orders/a%20b"), 200, "GET /orders/{id}   id=a b n= h=" + rest, ""},
		{get("/orders/7", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 200, `GET /orders/{id}   id=7 n= h= auth="" key="" trace=00-4bf92f3577b34da6a3ce929d0e0e4736 deadline=true`, ""},
		{get("/orders/7", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate: a=1", "Tracestate: b=2"), 200, `GET /orders/{id}   id=7 n= h= auth="" key="" trace=00-4bf92f3577b34da6a3ce929d0e0e4736a=1,b=2 deadline=true`, ""},
		{get("/orders/7", "tracestate: a=1"), 200, "GET /orders/{id}   id=7 n= h=" + rest, ""},
		{get("/orders/7", "traceparent: 00-XYZ"), 200, "GET /orders/{id}   id=7 n= h=" + rest, ""},
		{ask("POST", "/orders", `{"a":1}`, "Content-Type: application/json; charset=utf-8"), 200, `POST /orders  {"a":1} id= n= h=` + rest, ""},
		{ask("POST", "/orders", `{"a":1}`, "Content-Type: application/x-www-form-urlencoded"), 200, `POST /orders  {"a":1} id= n= h=` + rest, ""},
		{ask("POST", "/orders", ``), 200, `POST /orders   id= n= h=` + rest, ""},
		{ask("POST", "/orders", `{"a":`), 400, refusal("the body is not JSON"), ""},
		{ask("POST", "/orders", `<a/>`, "Content-Type: text/xml"), 415, refusal("this channel takes application/json"), ""},
		{ask("POST", "/raw", `<a/>`, "Content-Type: text/xml"), 200, `POST /raw  <a/> id= n= h=` + rest, ""},
		{ask("PUT", "/orders", `x`), 405, refusal("this path takes POST"), "OPTIONS, POST"},
		{get("/orders/all"), 200, "GET /orders/{id}   id=all n= h=" + rest, ""},
		{ask("POST", "/orders/all", ""), 405, refusal("this path takes DELETE, GET"), "DELETE, GET, HEAD, OPTIONS"},
		{ask("OPTIONS", "/orders/all", ""), 204, "", "DELETE, GET, HEAD, OPTIONS"},
		{ask("OPTIONS", "/zato/ping", ""), 204, "", "GET, HEAD, OPTIONS, POST"},
		{ask("OPTIONS", "/own", ""), 200, `OPTIONS /own   id= n= h=` + rest, ""},
		{ask("OPTIONS", "/nowhere", ""), 404, refusal("nothing is at this path"), ""},
		{get("/zato/other"), 404, refusal("nothing is at this path"), ""},
		{get("/zato/invoke/zato.ping"), 404, refusal("nothing is at this path"), ""},
		{get("/zato-2/a/b"), 200, "GET /zato-2/{x...}   id= n= h=" + rest, ""},
		{get("/orders"), 405, refusal("this path takes POST"), "OPTIONS, POST"},
		{get("/orders/"), 404, refusal("nothing is at this path"), ""},

		{get("/basic", basic("ada:swordfish")), 200, "GET /basic ada  id= n= h=" + rest, ""},
		{get("/basic", strings.Replace(basic("ada:swordfish"), "Basic", "bAsIc", 1)), 200, "GET /basic ada  id= n= h=" + rest, ""},
		{get("/basic"), 401, refusal(needsBasic), ""},
		{get("/basic", basic("ada:sword")), 401, refusal(needsBasic), ""},
		{get("/basic", basic("bob:swordfish")), 401, refusal(needsBasic), ""},
		{get("/basic", basic("swordfish")), 401, refusal(needsBasic), ""},
		{get("/basic", "Authorization: Basic ***"), 401, refusal(needsBasic), ""},
		{get("/basic", strings.Replace(basic("ada:swordfish"), "Basic", "Bearer", 1)), 401, refusal(needsBasic), ""},
		{get("/key", "X-API-Key: swordfish"), 200, "GET /key the one with the key  id= n= h=" + rest, ""},
		{get("/key", "X-API-Key: swordfis"), 401, refusal(needsKey), ""},
		{get("/key", "X-API-Key:"), 401, refusal(needsKey), ""},
		{get("/key"), 401, refusal(needsKey), ""},
	} {
		got := r.exchange(t, c.request)
		if c.status == 204 {
			if got.StatusCode != 204 || got.body != "" || !validCID.MatchString(got.Header.Get("X-Zato-CID")) {
				t.Errorf("%q: %v %q", c.request, got.Status, got.body)
			}
		} else {
			got.check(t, c.status, c.body)
		}
		if t.Failed() {
			t.Fatalf("%q", c.request)
		}
		if allow := got.Header.Get("Allow"); allow != c.allow {
			t.Errorf("%q: Allow is %q, want %q", c.request, allow, c.allow)
		}
		if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
			t.Errorf("%q: WWW-Authenticate is %q", c.request, challenge)
		}
	}
	if log := r.log.String(); strings.Contains(log, "swordfish") {
		t.Errorf("a secret is in the log: %s", log)
	}
}

func TestHEADIsAGETWithoutItsBody(t *testing.T) {
	r, _ := live(t, DefaultLimits(), map[string]*Route{"GET /a": {Service: tell, Timeout: time.Second}})
	for _, path := range []string{"/a", "/zato/ping", "/zato/ready"} {
		c := r.dial(t)
		if _, err := io.WriteString(c, "HEAD "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(all), "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 200") || body != "" || !strings.Contains(head, "X-Zato-CID: K") || strings.Contains(head, "Content-Length: 0") {
			t.Errorf("%s: %s", path, all)
		}
	}
}

func TestSecretsAreComparedInConstantTime(t *testing.T) {
	guard := NewAPIKey("swordfish", "")
	if text := fmt.Sprintf("%+v %#v", guard, guard); strings.Contains(text, "swordfish") {
		t.Errorf("shown: %s", text)
	}
}

func TestALateServiceIsAnsweredForAndGoesOnCounting(t *testing.T) {
	limits := DefaultLimits()
	limits.Concurrency = 1
	release := make(chan struct{})
	r, _ := live(t, limits, map[string]*Route{
		"GET /deaf": {Timeout: 20 * time.Millisecond, Service: func(*service.Context, service.Request) (service.Response, error) {
			<-release
			return service.Response{}, nil
		}},
		"GET /polite": {Timeout: 20 * time.Millisecond, Service: func(ctx *service.Context, _ service.Request) (service.Response, error) {
			<-ctx.Done()
			return service.Response{}, ctx.Err()
		}},
	})
	const late = "the service took too long"
	r.exchange(t, get("/polite")).check(t, 503, refusal(late))
	r.exchange(t, get("/deaf")).check(t, 503, refusal(late))
	busy := r.exchange(t, get("/polite"))
	busy.check(t, 503, refusal("the server has too many requests in hand"))
	if got := busy.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
	r.exchange(t, get("/zato/ping")).check(t, 200, pong) // that limit is not for those who ask whether it lives
	close(release)
	eventually(t, "there is a place again", func() bool {
		return strings.Contains(r.exchange(t, get("/polite")).body, late)
	})
	metrics := r.exchange(t, get("/metrics")).body
	for _, line := range []string{
		`zato_server_services_overdue_total 1`,
		`zato_server_service_calls_total{channel="GET /deaf",outcome="ok",service="/deaf"} 1`,
		`zato_server_service_calls_total{channel="GET /polite",outcome="timeout",service="/polite"} 2`,
		`zato_server_requests_in_hand 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

func TestServicesThatPanicOrExitHarmNobody(t *testing.T) {
	var n atomic.Int64
	r, _ := live(t, DefaultLimits(), map[string]*Route{
		"GET /a": {Timeout: time.Second, Service: func(*service.Context, service.Request) (service.Response, error) {
			switch n.Add(1) % 100 {
			case 0:
				panic("every hundredth")
			case 50:
				runtime.Goexit()
			}
			return service.Response{Payload: []byte("fine")}, nil
		}},
	})
	c := r.dial(t)
	in := bufio.NewReader(c)
	failed := 0
	for range 1000 {
		if _, err := io.WriteString(c, get("/a")); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, in); got.StatusCode == 500 {
			failed++
			got.check(t, 500, refusal("internal error, the log has more under this cid"))
		}
	}
	if failed != 20 {
		t.Errorf("%d of 1000 failed, want 20", failed)
	}
	if !strings.Contains(r.log.String(), "every hundredth") {
		t.Error("the log has no panic")
	}
}
