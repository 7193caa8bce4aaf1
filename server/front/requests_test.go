package front

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"zatoha/server/service"
)

func TestReadinessIsNotLiveness(t *testing.T) {
	r, _ := live(t, DefaultLimits(), nil)
	const ready = `{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "CID"}, "zato_ready_response": {"ready": true}}`
	r.exchange(t, get("/zato/ready")).check(t, 200, ready)
	var down atomic.Bool
	r.Require("upstream", func() error {
		if down.Load() {
			return errors.New("10.0.0.7:80 refuses connections")
		}
		return nil
	})
	r.exchange(t, get("/zato/ready")).check(t, 200, ready)
	down.Store(true)
	r.exchange(t, get("/zato/ready")).check(t, 503, refusal("upstream: 10.0.0.7:80 refuses connections"))
	r.Stopping()
	r.exchange(t, get("/zato/ready")).check(t, 503, refusal("the server is stopping; upstream: 10.0.0.7:80 refuses connections"))
	r.exchange(t, get("/zato/ping")).check(t, 200, pong)
	r.exchange(t, ask("POST", "/zato/ready", "")).check(t, 405, refusal("this path takes GET"))
}

func TestRequestsAreLoggedAsAskedFor(t *testing.T) {
	r, _ := live(t, DefaultLimits(), map[string]*Route{
		"GET /slow": {Timeout: time.Second, Service: func(ctx *service.Context, _ service.Request) (service.Response, error) {
			timer := time.NewTimer(30 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			ctx.Logger().Info("said by the service", "n", 1)
			return service.Response{}, nil
		}},
	}, WithRequestLog(RequestLog{Every: 10, Slow: 20 * time.Millisecond}))
	got := r.exchange(t, get("/slow?secret=1"))
	for range 29 {
		r.exchange(t, get("/zato/ping"))
	}
	eventually(t, "three of thirty are logged", func() bool {
		return strings.Count(r.log.String(), `"message":"request"`) == 3 && strings.Count(r.log.String(), `"message":"slow request"`) == 1
	})
	log := r.log.String()
	for _, part := range []string{`"cid":"` + got.Header.Get("X-Zato-CID") + `"`, `"path":"/slow"`, `"status":200`, `"said by the service"`} {
		if !strings.Contains(log, part) {
			t.Errorf("no %s in %s", part, log)
		}
	}
	if strings.Contains(log, "secret") {
		t.Error("the query is in the log")
	}
}

type forwarder struct{}

func (forwarder) Handle(ctx *fasthttp.RequestCtx, cid string) {
	switch string(ctx.Path()) {
	case "/app/panic":
		panic("in a handler")
	case "/app/down":
		Fail(ctx, fasthttp.StatusBadGateway, cid, "the application does not answer")
	default:
		ctx.SetContentType("application/json")
		ctx.SetBodyString("from " + string(ctx.Path()))
	}
}

func TestAHandlerMayTakeTheWholeRequest(t *testing.T) {
	limits := DefaultLimits()
	limits.Concurrency = 1
	r, _ := live(t, limits, map[string]*Route{"GET /app/{path...}": {Handler: forwarder{}, Name: "proxy"}})
	r.exchange(t, get("/app/a/b")).check(t, 200, "from /app/a/b")
	r.exchange(t, get("/app/down")).check(t, 502, refusal("the application does not answer"))
	r.exchange(t, get("/app/panic")).check(t, 500, refusal("internal error, the log has more under this cid"))
	r.exchange(t, get("/app/")).check(t, 200, "from /app/")
	metrics := r.exchange(t, get("/metrics")).body
	for _, line := range []string{
		`zato_server_service_calls_total{channel="GET /app/{path...}",outcome="ok",service="proxy"} 2`,
		`zato_server_service_calls_total{channel="GET /app/{path...}",outcome="unavailable",service="proxy"} 1`,
		`zato_server_service_calls_total{channel="GET /app/{path...}",outcome="internal",service="proxy"} 1`,
		`zato_server_service_in_flight{channel="GET /app/{path...}",service="proxy"} 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}
