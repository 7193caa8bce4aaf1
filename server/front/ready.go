package front

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

const readyBody = `{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "%s"}, "zato_ready_response": {"ready": true}}`

// readiness is whether new traffic is welcome. That is another question than whether the server lives, which /zato/ping
// answers: a server that is stopping, or has lost what it depends on, lives and is not ready.
type readiness struct {
	mu       sync.Mutex
	stopping bool
	checks   map[string]func() error
}

// Require makes the server ready only while the check returns nil. Its error is shown to who asks, after the name. It
// must not wait for anything: it says what is known.
func (r *readiness) Require(name string, check func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checks == nil {
		r.checks = map[string]func() error{}
	}
	r.checks[name] = check
}

// Stopping says that the server is going: it is not ready any more, and answers all the same.
func (r *readiness) Stopping() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// unready is why the server is not ready, empty if it is.
func (r *readiness) unready() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	for name, check := range r.checks {
		if err := check(); err != nil {
			reasons = append(reasons, name+": "+err.Error())
		}
	}
	sort.Strings(reasons)
	if r.stopping {
		reasons = append([]string{"the server is stopping"}, reasons...)
	}
	return strings.Join(reasons, "; ")
}

func (f *Front) answerReady(ctx *fasthttp.RequestCtx, cid string) (class string, route *Route) {
	if !ctx.IsGet() && !ctx.IsHead() {
		answerOther(ctx, cid, fasthttp.MethodGet)
		return readyPath, nil
	}
	if reason := f.unready(); reason != "" {
		fail(ctx, fasthttp.StatusServiceUnavailable, cid, reason)
		return readyPath, nil
	}
	setCID(ctx, cid)
	ctx.Response.Header.SetContentType(contentType)
	ctx.Response.SetBodyString(fmt.Sprintf(readyBody, cid))
	return readyPath, nil
}
