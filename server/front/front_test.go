package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"zatoha/server/service"
)

func TestMain(m *testing.M) {
	// fasthttp keeps the Date header up to date for the life of the process, and a worker pool that was stopped finds out
	// when it next wakes from its sleep of 10 s.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

const pong = `{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "CID"}, "zato_ping_response": {"pong": "zato"}}`

// Bytes in, one form of answer out.
func TestEveryRequestIsAnswered(t *testing.T) {
	const invalid = "this is no valid HTTP request"
	r := start(t, smallLimits(), nil)
	for _, c := range []struct {
		name, request string
		status        int
		body          string
	}{
		{"ping", "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"ping by POST", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 200, pong},
		{"ping with a query", "GET /zato/ping?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"ping by HTTP/1.0", "GET /zato/ping HTTP/1.0\r\nHost: x\r\n\r\n", 200, pong},
		{"ping chunked", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, pong},
		{"a CID of the client's", "GET /zato/ping HTTP/1.1\r\nHost: x\r\nX-Zato-CID: K1\r\n\r\n", 200, pong},
		{"body expected", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"unknown path", "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, refusal("nothing is at this path")},
		{"other method", "DELETE /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n", 405, refusal("this path takes GET, POST")},
		{"made-up method", "FROB /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n", 405, refusal("this path takes GET, POST")},
		{"POST of metrics", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, refusal("this path takes GET")},
		{"no HTTP", "hello\r\n\r\n", 400, refusal(invalid)},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, refusal(invalid)},
		{"no Host", "GET /zato/ping HTTP/1.1\r\n\r\n", 400, refusal(invalid)},
		{"an empty Host", "GET /zato/ping HTTP/1.1\r\nHost:\r\n\r\n", 400, refusal(invalid)},
		{"doubled slashes", "GET //zato//ping HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"a URL", "GET http://x/zato/ping HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"a URL in the query", "GET /zato/ping?u=http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, pong},
		{"a segment that passes for a host", "GET //x/metrics?:// HTTP/1.1\r\nHost: x\r\n\r\n", 400, refusal(invalid)},
		{"a segment that passes for a host where there is none", "GET //x/metrics HTTP/1.0\r\n\r\n", 400, refusal(invalid)},
		{"neither path nor URL", "GET x//y/metrics?:// HTTP/1.1\r\nHost: x\r\n\r\n", 400, refusal(invalid)},
		{"a word for a path", "GET metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400, refusal(invalid)},
		{"ping by HTTP/1.0 without a Host", "GET /zato/ping HTTP/1.0\r\n\r\n", 200, pong},
		{"two Hosts", "GET /zato/ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, refusal(invalid)},
		{"space before the colon", "GET /zato/ping HTTP/1.1\r\nHost : x\r\n\r\n", 400, refusal(invalid)},
		{"NUL in a value", "GET /zato/ping HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400, refusal(invalid)},
		{"negative length", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, refusal(invalid)},
		{"two lengths", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, refusal(invalid)},
		{"chunks win over a length", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, pong},
		{"an encoding that is none", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 400, refusal(invalid)},
		{"chunks in HTTP/1.0", "POST /zato/ping HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, refusal(invalid)},
		{"bad chunk", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, refusal(invalid)},
		{"large header", "GET /zato/ping HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 5000) + "\r\n\r\n", 431, refusal("the request headers are too large")},
		{"long path", "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, refusal("the request headers are too large")},
		{"large body announced", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"large body sent", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("a", 300000), 413, refusal(bodyTooLarge)},
		{"large chunk", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("a", 2000) + "\r\n0\r\n\r\n", 413, refusal(bodyTooLarge)},
		{"slow headers", "GET /zato/ping HTTP/1.1\r\n", 408, refusal("the request did not arrive in time")},
		{"slow body", "POST /zato/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", 408, refusal("the request did not arrive in time")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := r.exchange(t, c.request)
			got.check(t, c.status, c.body)
			if got.Header.Get("X-Zato-CID") == "K1" {
				t.Error("the client chose the CID")
			}
			if allow := got.Header.Get("Allow"); (allow != "") != (c.status == 405) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
	r.exchange(t, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n").check(t, 200, pong) // after all this it lives
}

// Go's client shows every header in one spelling, so this looks at the bytes.
func TestHeaderIsSpeltAsInTheContract(t *testing.T) {
	r := start(t, DefaultLimits(), nil)
	for _, path := range []string{"/zato/ping", "/nowhere", "/metrics"} {
		c := r.dial(t)
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(got), "\r\nX-Zato-CID: K") != 1 {
			t.Errorf("%s: %.300s", path, got)
		}
	}
}

func TestConnectionIsKeptForFurtherRequests(t *testing.T) {
	r := start(t, DefaultLimits(), nil)
	c := r.dial(t)
	in := bufio.NewReader(c)
	cids := map[string]bool{}
	for range 3 {
		if _, err := io.WriteString(c, "GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got := receive(t, in)
		got.check(t, 200, pong)
		cids[got.Header.Get("X-Zato-CID")] = true
	}
	if len(cids) != 3 {
		t.Errorf("3 requests had %d CIDs", len(cids))
	}
}

func TestWhatAServiceReturnsIsAnswered(t *testing.T) {
	r := start(t, DefaultLimits(), map[string]service.Service{
		"echo": func(_ *service.Context, q service.Request) (service.Response, error) {
			return service.Response{ContentType: "application/json", Payload: fmt.Appendf(nil, "%s %s %s", q.CID, q.ContentType, q.Payload)}, nil
		},
		"empty": func(*service.Context, service.Request) (service.Response, error) { return service.Response{}, nil },
		"panic": func(*service.Context, service.Request) (service.Response, error) { panic("secret of the house") },
		"error": func(*service.Context, service.Request) (service.Response, error) {
			return service.Response{}, errors.New("password is swordfish")
		},
		"cancelled": func(*service.Context, service.Request) (service.Response, error) {
			return service.Response{}, fmt.Errorf("ask the database: %w", context.Canceled)
		},
		"400": failing(service.BadRequest), "401": failing(service.Unauthorized), "403": failing(service.Forbidden),
		"404": failing(service.NotFound), "409": failing(service.Conflict), "413": failing(service.TooLarge),
		"503": failing(service.Unavailable), "503-late": failing(service.Timeout), "500": failing(service.Internal),
	})
	const hidden = "internal error, the log has more under this cid"
	for _, c := range []struct {
		path   string
		status int
		body   string
		log    string
	}{
		{"echo", 200, "CID text/x hi", ""},
		{"empty", 200, "", ""},
		{"panic", 500, refusal(hidden), "front_test.go"},
		{"error", 500, refusal(hidden), "password is swordfish"},
		{"cancelled", 500, refusal(hidden), "ask the database: context canceled"},
		{"400", 400, refusal(`say \"please\"`), ""},
		{"401", 401, refusal(`say \"please\"`), ""},
		{"403", 403, refusal(`say \"please\"`), ""},
		{"404", 404, refusal(`say \"please\"`), ""},
		{"409", 409, refusal(`say \"please\"`), ""},
		{"413", 413, refusal(`say \"please\"`), ""},
		{"503", 503, refusal(`say \"please\"`), "the cause"},
		{"503-late", 503, refusal(`say \"please\"`), "the cause"},
		{"500", 500, refusal(hidden), "the cause"},
	} {
		t.Run(c.path, func(t *testing.T) {
			got := r.exchange(t, "POST /"+c.path+" HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nhi")
			got.check(t, c.status, c.body)
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
			if log := r.log.String(); !strings.Contains(log, c.log) {
				t.Errorf("no %q in the log %s", c.log, log)
			}
		})
	}
}

func failing(kind service.Kind) service.Service {
	return func(*service.Context, service.Request) (service.Response, error) {
		return service.Response{}, service.NewError(kind, `say "please"`, errors.New("the cause"))
	}
}

func TestMetrics(t *testing.T) {
	r := start(t, smallLimits(), nil)
	for _, request := range []string{
		"GET /zato/ping HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /made/up/1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /made/up/2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"nonsense\r\n\r\n",
	} {
		r.exchange(t, request)
	}
	got := r.exchange(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if !validCID.MatchString(got.Header.Get("X-Zato-CID")) || got.StatusCode != 200 {
		t.Errorf("status %d, headers %v", got.StatusCode, got.Header)
	}
	for _, line := range []string{
		`zato_server_requests_total{route="/zato/ping",status="200"} 1`,
		`zato_server_requests_total{route="unknown",status="404"} 2`,
		`zato_server_requests_total{route="unreadable",status="400"} 1`,
		`zato_server_request_duration_seconds_count{route="/zato/ping"} 1`,
		`zato_server_requests_in_flight 1`,
		`zato_server_invocations_total{what="run"} 0`,
		`zato_server_invocations_total{what="duplicate"} 0`,
		`zato_server_invocations_total{what="stale"} 0`,
		`zato_server_invocations_total{what="deferred"} 0`,
		`zato_server_invocations_total{what="refused"} 0`,
	} {
		if !strings.Contains(got.body, line+"\n") {
			t.Errorf("no %s in\n%s", line, got.body)
		}
	}
}

func TestTableRefusesWhatClashes(t *testing.T) {
	ping, _ := service.NewRegistry().Lookup("zato.ping")
	var table Table
	for _, c := range []struct {
		path    string
		methods []string
		want    string
	}{
		{"/a", []string{"POST", "GET"}, ""},
		{"/a", []string{"PUT", "GET"}, "route GET /a: there is one already"},
		{"/metrics", []string{"GET"}, `route "/metrics": the path must begin with / and not be /metrics`},
		{"a", []string{"GET"}, `route "a": the path must begin with / and not be /metrics`},
	} {
		got := ""
		if err := table.Add(c.path, ping, c.methods...); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Add(%q, %q) = %q, want %q", c.path, c.methods, got, c.want)
		}
	}
}
