package front

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"zatoha/server/channel"
	"zatoha/server/service"
)

// Router leads requests to services. It is asked for every request, concurrently.
type Router interface {
	// Route gets the method as sent, and the path decoded, cleaned and without the query. The path is valid only until
	// Route returns.
	Route(method, path string) Match
}

// Match is where a request leads to: a route; or none, but Allow if the path takes other methods; or nothing.
type Match struct {
	Route  *Route
	Params map[string]string // in the path; nil if it has none
	Allow  string            // those methods, as in an Allow header: "GET, POST"
}

// Route is a service that is reached over HTTP, or else a [Handler].
type Route struct {
	Pattern string // names the route in metrics and logs; many paths may have one pattern, never the other way round
	Service service.Service
	Handler Handler // takes the request itself, if it is not nil

	Name    string        // of the service
	Channel string        // name of the channel; empty: a route of the server's own, which no limit of concurrency touches
	Timeout time.Duration // of the service; 0: none, and it is called in the connection's own goroutine
	JSON    bool          // the request must have a body of JSON, or none
	Guard   *Guard        // nil: anybody may call

	counters atomic.Pointer[callMetrics]
}

// Handler is what answers requests as HTTP, for want of being a service: it forwards them, say. It is called
// concurrently, in the goroutine of the connection, and may use ctx only until it returns.
type Handler interface {
	// Handle writes an answer. The header X-Zato-CID is set after it; errors are best made by [Fail].
	Handle(ctx *fasthttp.RequestCtx, cid string)
}

// Fail writes an error in the form that all of them have.
func Fail(ctx *fasthttp.RequestCtx, status int, cid, details string) { fail(ctx, status, cid, details) }

// Table is a [Router] for fixed paths. The zero value is empty. It must not change while it is asked.
type Table struct {
	paths map[string]map[string]*Route // path → method → route
}

// Add leads the methods of a path to a service. What is led elsewhere already is an error, and so is /metrics.
func (t *Table) Add(path string, service service.Service, methods ...string) error {
	return t.AddRoute(path, &Route{Pattern: path, Service: service}, methods...)
}

// AddRoute leads the methods of a path to a route by the rules of Add.
func (t *Table) AddRoute(path string, route *Route, methods ...string) error {
	if !strings.HasPrefix(path, "/") || path == metricsPath {
		return fmt.Errorf("route %q: the path must begin with / and not be %s", path, metricsPath)
	}
	if t.paths == nil {
		t.paths = map[string]map[string]*Route{}
	}
	if t.paths[path] == nil {
		t.paths[path] = map[string]*Route{}
	}
	for _, method := range methods {
		if t.paths[path][method] != nil {
			return fmt.Errorf("route %s %s: there is one already", method, path)
		}
		t.paths[path][method] = route
	}
	return nil
}

// Route implements [Router].
func (t *Table) Route(method, path string) Match {
	methods := t.paths[path]
	if methods == nil {
		return Match{}
	}
	if route := methods[method]; route != nil {
		return Match{Route: route}
	}
	if route := methods[fasthttp.MethodGet]; route != nil && method == fasthttp.MethodHead {
		return Match{Route: route}
	}
	return Match{Allow: strings.Join(slices.Sorted(maps.Keys(methods)), ", ")}
}

// Live is a [Router] whose channels are exchanged while it is asked: each request is led by one table or by the next,
// never by a half of each. Paths below /zato/ are the server's own, whatever the channels say.
type Live struct {
	Fixed    Table // must not change once requests are served
	channels atomic.Pointer[channel.Table[*Route]]
}

const ownPrefix = "/zato/"

// Swap puts a table in the place of the one before. It must not change any more.
func (l *Live) Swap(table *channel.Table[*Route]) { l.channels.Store(table) }

// Route implements [Router].
func (l *Live) Route(method, path string) Match {
	match := l.Fixed.Route(method, path)
	table := l.channels.Load()
	if match.Route != nil || match.Allow != "" || table == nil || strings.HasPrefix(path, ownPrefix) {
		return match
	}
	found := table.Match(method, path)
	if !found.Found {
		return Match{Allow: strings.Join(found.Allow, ", ")}
	}
	match.Route = found.Target
	if len(found.Parameters) > 0 {
		match.Params = make(map[string]string, len(found.Parameters))
		for i, name := range found.Parameters {
			match.Params[name] = strings.Clone(found.Values[i])
		}
	}
	return match
}

// allowHeader is the methods that a path takes, with those that every path takes.
func allowHeader(methods string) string {
	allow := strings.Split(methods, ", ")
	if slices.Contains(allow, fasthttp.MethodGet) {
		allow = append(allow, fasthttp.MethodHead)
	}
	allow = append(allow, fasthttp.MethodOptions)
	slices.Sort(allow)
	return strings.Join(slices.Compact(allow), ", ")
}

// methodName spares the usual methods an allocation.
func methodName(method []byte) string {
	switch string(method) {
	case fasthttp.MethodGet:
		return fasthttp.MethodGet
	case fasthttp.MethodPost:
		return fasthttp.MethodPost
	default:
		return string(method)
	}
}
