package front

import (
	"net"

	"github.com/valyala/fasthttp"

	"zatoha/server/front/proxy"
)

// proxied is the class of the paths that are not the server's own but the application's behind it.
const proxied = "proxied"

// Forward hands every request that no route takes to the application behind the proxy, bodies of any size included.
// Call it before Serve. The proxy is closed when the front shuts down.
func (f *Front) Forward(options proxy.Options) (*proxy.Proxy, error) {
	options.Refuse, options.Registry, options.Log = fail, f.registry, f.log
	p, err := proxy.New(options)
	if err != nil {
		return nil, err
	}
	f.proxy = p
	f.server.StreamRequestBody = true
	return p, nil
}

// forwards says whether a request is the application's.
func (f *Front) forwards(ctx *fasthttp.RequestCtx) bool {
	if f.proxy == nil || string(ctx.Path()) == metricsPath {
		return false
	}
	match := f.router.Route(methodName(ctx.Method()), string(ctx.Path()))
	return match.Route == nil && match.Allow == ""
}

// collect reads the body of a request for a service, which is not streamed. It answers what cannot be read.
func (f *Front) collect(ctx *fasthttp.RequestCtx) bool {
	if err := proxy.Collect(ctx, f.limits.BodyBytes); err != nil {
		f.refuse(ctx, err)
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
