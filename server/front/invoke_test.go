package front

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"zatoha/server/invoke"
	"zatoha/server/service"
)

const testToken = "0123456789abcdef"

func invocations(t testing.TB, services map[string]service.Service) *Invocations {
	t.Helper()
	registry := service.NewRegistry()
	for name, s := range services {
		if err := registry.Add(name, s); err != nil {
			t.Fatal(err)
		}
	}
	return &Invocations{
		Services: registry, Fence: &invoke.Fence{}, Timeout: time.Second,
		Accepts: func(token []byte) bool { return string(token) == testToken },
		Window:  invoke.NewWindow[service.Response](invoke.Bounds{Messages: 100, Bytes: 1 << 20, Age: time.Minute}),
	}
}

func message(service, connector, epoch, id, body string, more ...string) string {
	return ask("POST", "/zato/invoke/"+service, body, append([]string{
		"Authorization: Bearer " + testToken, "X-Zato-Connector: " + connector,
		"X-Zato-Connector-Epoch: " + epoch, "X-Zato-Message-ID: " + id,
	}, more...)...)
}

// again is a message that may have come before.
func again(service, connector, epoch, id, body string) string {
	return message(service, connector, epoch, id, body, "X-Zato-Redelivered: true")
}

func TestInvocationsRunOnceAndOnlyForTheLatest(t *testing.T) {
	var runs atomic.Int64
	fail := errors.New("the database is gone")
	i := invocations(t, map[string]service.Service{
		"count": func(ctx *service.Context, q service.Request) (service.Response, error) {
			n := runs.Add(1)
			if strings.HasPrefix(string(q.Payload), "fail") {
				return service.Response{}, fail
			}
			return service.Response{ContentType: "text/x", Payload: fmt.Appendf(nil, "run %d of %s by %s for %s%s%s", n, q.Payload, ctx.Caller(), ctx.Channel(), q.Headers.Get("Authorization"), q.Headers.Get("X-Zato-Invoke-Token"))}, nil
		},
	})
	r, _ := live(t, DefaultLimits(), nil, WithInvocations(i))
	const hidden = "internal error, the log has more under this cid"
	for _, c := range []struct {
		name, request string
		status        int
		body          string
		duplicate     bool
	}{
		{"the first", message("count", "amqp-1", "7", "m1", "a"), 200, "run 1 of a by amqp-1 for amqp-1", false},
		{"the same again", again("count", "amqp-1", "7", "m1", "a"), 200, "run 1 of a by amqp-1 for amqp-1", true},
		{"the same ID of another connector, which says that it comes again", again("count", "amqp-2", "7", "m1", "b"), 200, "run 2 of b by amqp-2 for amqp-2", false},
		{"from the next host", again("count", "amqp-1", "8", "m1", "a"), 200, "run 1 of a by amqp-1 for amqp-1", true},
		{"from the last host", message("count", "amqp-1", "7", "m2", "a"), 409, refusal("epoch 7 is over, there is 8: another connector host has taken over"), false},
		{"from the last host, done already", again("count", "amqp-1", "7", "m1", "a"), 409, refusal("epoch 7 is over, there is 8: another connector host has taken over"), false},
		{"one that fails", message("count", "amqp-1", "8", "m3", "fail"), 500, refusal(hidden), false},
		{"one that failed", again("count", "amqp-1", "8", "m3", "ok"), 200, "run 4 of ok by amqp-1 for amqp-1", false},
		{"another message of the same ID", message("count", "amqp-1", "8", "m1", "c"), 200, "run 5 of c by amqp-1 for amqp-1", false},
		{"yet another, which may have been here before", again("count", "amqp-1", "8", "m1", "d"), 200, "run 6 of d by amqp-1 for amqp-1", false},
		{"that again", again("count", "amqp-1", "8", "m1", "c"), 200, "run 5 of c by amqp-1 for amqp-1", true},
		{"token in the other header", strings.Replace(again("count", "amqp-1", "8", "m1", "a"), "Authorization: Bearer", "X-Zato-Invoke-Token:", 1), 200, "run 1 of a by amqp-1 for amqp-1", true},

		{"no token", strings.Replace(message("count", "amqp-1", "8", "m1", "a"), "Authorization", "X", 1), 401, refusal("invocations need the cluster's token, as Authorization: Bearer or X-Zato-Invoke-Token"), false},
		{"a wrong token", strings.Replace(message("count", "amqp-1", "99", "m1", "a"), testToken, testToken+"x", 1), 401, refusal("invocations need the cluster's token, as Authorization: Bearer or X-Zato-Invoke-Token"), false},
		{"after a forged epoch", again("count", "amqp-1", "8", "m1", "a"), 200, "run 1 of a by amqp-1 for amqp-1", true},
		{"no headers", ask("POST", "/zato/invoke/count", "", "Authorization: Bearer "+testToken), 400, refusal("X-Zato-Connector: is missing; X-Zato-Message-ID: is missing; X-Zato-Connector-Epoch: is missing"), false},
		{"a bad epoch", message("count", "amqp-1", "-1", "m1", "a"), 400, refusal(`X-Zato-Connector-Epoch: \"-1\" is no whole number above 0`), false},
		{"a long ID", message("count", "amqp-1", "8", strings.Repeat("m", 513), "a"), 400, refusal(`X-Zato-Message-ID: has more than 512 bytes`), false},
		{"no such service", message("none", "amqp-1", "8", "m1", "a"), 404, refusal(`there is no service \"none\" here`), false},
		{"no service", message("", "amqp-1", "8", "m1", "a"), 404, refusal(`there is no service \"\" here`), false},
		{"a GET", strings.Replace(message("count", "amqp-1", "8", "m1", ""), "POST", "GET", 1), 405, refusal("this path takes POST"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := r.exchange(t, c.request)
			cid := got.Header.Get("X-Zato-CID")
			if got.StatusCode != c.status || got.body != strings.ReplaceAll(c.body, "CID", cid) || !validCID.MatchString(cid) {
				t.Errorf("got  %d %s\nwant %d %s", got.StatusCode, got.body, c.status, c.body)
			}
			if duplicate := got.Header.Get("X-Zato-Duplicate"); (duplicate == "true") != c.duplicate {
				t.Errorf("X-Zato-Duplicate is %q", duplicate)
			}
			if known := got.Header.Get("X-Zato-Connector-Epoch"); (known == "8") != (c.status == 409) {
				t.Errorf("X-Zato-Connector-Epoch is %q", known)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}
	metrics := r.exchange(t, get("/metrics")).body
	for _, line := range []string{
		`zato_server_connector_epoch 8`, `zato_server_messages_remembered 5`,
		`zato_server_invocations_total{what="run"} 6`, `zato_server_invocations_total{what="duplicate"} 5`,
		`zato_server_invocations_total{what="stale"} 2`, `zato_server_invocations_total{what="refused"} 7`,
		`zato_server_service_calls_total{channel="zato.invoke",outcome="ok",service="count"} 5`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

// A message that no service has run does not count as run.
func TestAMessageThatIsOneTooManyIsDeferred(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	i := invocations(t, map[string]service.Service{
		"slow": func(*service.Context, service.Request) (service.Response, error) {
			close(entered)
			<-release
			return service.Response{}, nil
		},
	})
	i.Timeout = 10 * time.Second
	limits := DefaultLimits()
	limits.Concurrency = 1
	r, _ := live(t, limits, nil, WithInvocations(i))
	c := r.dial(t)
	if _, err := io.WriteString(c, message("slow", "c", "1", "m1", "")); err != nil {
		t.Fatal(err)
	}
	<-entered
	r.exchange(t, message("slow", "c", "1", "m2", "")).check(t, 503, refusal("the server has too many requests in hand"))
	close(release)
	receive(t, bufio.NewReader(c)).check(t, 200, "")
	metrics := r.exchange(t, get("/metrics")).body
	for _, line := range []string{`zato_server_invocations_total{what="run"} 1`, `zato_server_invocations_total{what="deferred"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

// A server that has just started must not be the one by which a host acts whose time is over.
func TestNobodyMayActUntilTheEpochIsKnown(t *testing.T) {
	i := invocations(t, nil)
	known := make(chan struct{})
	i.Informed = known
	r, _ := live(t, DefaultLimits(), nil, WithInvocations(i))
	for _, epoch := range []string{"7", "8"} {
		got := r.exchange(t, message("zato.ping", "c", epoch, "m", ""))
		got.check(t, 503, refusal("this server has just started, and does not know yet which connector host may act"))
	}
	i.Fence.Learn(8)
	close(known)
	r.exchange(t, message("zato.ping", "c", "7", "m", "")).check(t, 409, refusal("epoch 7 is over, there is 8: another connector host has taken over"))
	r.exchange(t, message("zato.ping", "c", "8", "m", "")).check(t, 200, pong)
}

func TestADuplicateWaitsForTheFirst(t *testing.T) {
	entered, release := make(chan struct{}, 10), make(chan error)
	i := invocations(t, map[string]service.Service{
		"slow": func(*service.Context, service.Request) (service.Response, error) {
			entered <- struct{}{}
			err := <-release
			return service.Response{Payload: []byte("done")}, err
		},
	})
	i.Timeout = 10 * time.Second
	r, _ := live(t, DefaultLimits(), nil, WithInvocations(i))
	send := func(more ...string) *bufio.Reader {
		c := r.dial(t)
		if _, err := io.WriteString(c, message("slow", "c", "1", "m", "", more...)); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(c)
	}
	for _, outcome := range []error{service.NewError(service.Conflict, "not now", nil), nil} {
		first := send()
		<-entered
		second := send("X-Zato-Redelivered: true")
		eventually(t, "both are in the server", func() bool {
			return strings.Contains(r.exchange(t, get("/metrics")).body, "zato_server_requests_in_flight 3\n")
		})
		release <- outcome
		one, two := receive(t, first), receive(t, second)
		if outcome != nil {
			one.check(t, 409, refusal("not now"))
			two.check(t, 409, refusal("not now"))
			continue
		}
		one.check(t, 200, "done")
		two.check(t, 200, "done")
		if two.Header.Get("X-Zato-Duplicate") != "true" || one.Header.Get("X-Zato-Duplicate") != "" {
			t.Error("it is not said which was the duplicate")
		}
	}
	if len(entered) != 0 {
		t.Error("it ran more often than once each time")
	}
}

// The service outlives the patience of who asked; the message coming again meets it, and does not run beside it.
func TestAMessageThatTimedOutIsNotRunBesideItself(t *testing.T) {
	var runs atomic.Int64
	release := make(chan struct{})
	i := invocations(t, map[string]service.Service{
		"deaf": func(*service.Context, service.Request) (service.Response, error) {
			runs.Add(1)
			<-release
			return service.Response{Payload: []byte("done")}, nil
		},
	})
	i.Timeout = 50 * time.Millisecond
	r, _ := live(t, DefaultLimits(), nil, WithInvocations(i))
	r.exchange(t, again("deaf", "c", "1", "m", "")).check(t, 504, refusal("the service took too long"))
	r.exchange(t, again("deaf", "c", "1", "m", "")).check(t, 504, refusal("the message is still being worked on"))
	close(release)
	eventually(t, "the outcome is there", func() bool {
		return r.exchange(t, again("deaf", "c", "1", "m", "")).body == "done"
	})
	if runs.Load() != 1 {
		t.Errorf("it ran %d times", runs.Load())
	}
}

func TestInvocationsAreNotThereUnlessTheyAreGuarded(t *testing.T) {
	i := invocations(t, nil)
	i.Accepts = nil
	open, _ := live(t, DefaultLimits(), map[string]*Route{"POST /a": {Service: tell}}, WithInvocations(i))
	open.exchange(t, message("zato.ping", "c", "1", "m", "")).check(t, 404, refusal("nothing is at this path"))

	served := make(chan error, 1)
	t.Cleanup(func() { // after the shutdown
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	i = invocations(t, nil)
	i.Accepts, i.Private = nil, true
	both, _ := live(t, DefaultLimits(), map[string]*Route{"POST /a": {Service: tell}}, WithInvocations(i))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { served <- both.ServeInvocations(listener) }()
	private := running{both.Front, listener.Addr().String(), both.log}
	both.exchange(t, message("zato.ping", "c", "1", "m", "")).check(t, 404, refusal("nothing is at this path"))
	private.exchange(t, message("zato.ping", "c", "1", "m", "")).check(t, 200, pong)
	private.exchange(t, get("/zato/ping")).check(t, 200, pong)
	private.exchange(t, ask("POST", "/a", "")).check(t, 404, refusal("nothing is at this path"))
	private.exchange(t, get("/a")).check(t, 404, refusal("nothing is at this path"))
	if got := both.exchange(t, ask("POST", "/a", "")); got.StatusCode != 200 {
		t.Errorf("the channel answers %d", got.StatusCode)
	}
}

// Whatever arrives, the answer is of the contract, a service runs only for a token, three headers and the latest epoch.
func FuzzInvoke(f *testing.F) {
	f.Add("POST", "demo.echo", testToken, "amqp", "7", "m1", []byte("hello"))
	f.Add("GET", "zato.ping", testToken, "", "-1", "", []byte(nil))
	f.Add("POST", "../ping", "wrong", "a\r\nb", "18446744073709551615", "x", []byte("{}"))
	i := invocations(f, nil)
	front := New(&Live{}, DefaultLimits(), prometheus.NewRegistry(), zerolog.Nop(), WithInvocations(i))
	f.Cleanup(func() {
		if err := front.Shutdown(time.Second); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, method, name, token, connector, epoch, id string, body []byte) {
		i.Fence = &invoke.Fence{}
		i.Fence.Learn(5)
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod(method)
		ctx.Request.SetRequestURI("/zato/invoke/" + name)
		ctx.Request.Header.SetHost("x")
		ctx.Request.Header.Set("X-Zato-Invoke-Token", token)
		ctx.Request.Header.Set("X-Zato-Connector", connector)
		ctx.Request.Header.Set("X-Zato-Connector-Epoch", epoch)
		ctx.Request.Header.Set("X-Zato-Message-ID", id)
		ctx.Request.SetBody(bytes.Clone(body))
		front.handle(ctx)
		status := ctx.Response.StatusCode()
		cid := ""
		for name, value := range ctx.Response.Header.All() {
			if bytes.Equal(name, cidHeader) {
				cid = string(value)
			}
		}
		if !validCID.MatchString(cid) {
			t.Fatalf("status %d with the CID %q", status, cid)
		}
		known, ok := invoke.ParseEpoch(epoch)
		if status == http.StatusOK && (method != "POST" || strings.TrimSpace(token) != testToken || !ok || known < 5) {
			t.Fatalf("%s with token %q and epoch %q is answered with 200", method, token, epoch)
		}
		if status == http.StatusConflict && known >= 5 {
			t.Fatalf("epoch %q is refused", epoch)
		}
		if status >= 500 && status != 503 && status != 504 {
			t.Fatalf("status %d: %s", status, ctx.Response.Body())
		}
		if highest := i.Fence.Highest(); highest != 5 && strings.TrimSpace(token) != testToken {
			t.Fatalf("without the token the epoch became %d", highest)
		}
	})
}
