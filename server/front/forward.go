package front

import (
	"bytes"
	"net"
	"strings"
	"unsafe"

	"github.com/valyala/fasthttp"

	"zatoha/server/front/proxy"
)

// proxied is the class of the paths that are not the server's own but the application's behind it.
const proxied = "proxied"

// WithApplication hands every request that no route takes to the application behind the proxy, bodies of any size
// included, but for those whose path is the server's own. The proxy is closed when the front shuts down.
func WithApplication(p *proxy.Proxy) Option { return func(f *Front) { f.proxy = p } }

// pass hands a request on to the application.
func (f *Front) pass(ctx *fasthttp.RequestCtx, cid string) {
	if !f.enter() {
		f.answerBusy(ctx, cid)
		return
	}
	defer f.leave()
	f.proxy.Handle(ctx, cid)
}

// forwards says whether a request is the application's.
func (f *Front) forwards(ctx *fasthttp.RequestCtx) bool {
	path := ctx.Path()
	if f.proxy == nil || f.isPrivate(ctx) || misread(&ctx.Request.Header) || string(path) == metricsPath || ownPath(path) {
		return false
	}
	match := f.router.Route(methodName(ctx.Method()), unsafe.String(unsafe.SliceData(path), len(path)))
	return match.Route == nil && match.Allow == "" || match.Route != nil && match.Route.Handler != nil
}

// ownPath says whether a path is never the application's, even where nothing is at it: a connector would take the
// application's answer for that of a service, and its message would be lost.
func ownPath(path []byte) bool {
	return string(path) == strings.TrimSuffix(ownPrefix, "/") || bytes.HasPrefix(path, []byte(ownPrefix))
}

// collect reads the body of a request for a service, which is not streamed. It answers what cannot be read.
func (f *Front) collect(ctx *fasthttp.RequestCtx, cid string) bool {
	if f.proxy == nil { // then nothing is streamed
		return true
	}
	if err := proxy.Collect(ctx, f.limits.BodyBytes); err != nil {
		f.answerUnread(ctx, cid, err)
		ctx.SetConnectionClose()
		return false
	}
	return true
}

// closeProxy ends what the application has not answered.
func (f *Front) closeProxy() {
	if f.proxy != nil {
		f.proxy.Close()
	}
}

// NetConn is the socket, for the proxy to look at.
func (c *conn) NetConn() net.Conn { return c.Conn }

// LingerOnClose is for the proxy to refuse uploads: see lingerOnClose.
func (c *conn) LingerOnClose() { lingerOnClose(c) }
