package front

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

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
	Route *Route
	Allow string // those methods, as in an Allow header: "GET, POST"
}

// Route is a service that is reached over HTTP.
type Route struct {
	Pattern string // names the route in metrics and logs; many paths may have one pattern, never the other way round
	Service service.Service
}

// Table is a [Router] for fixed paths. The zero value is empty. It must not change while it is asked.
type Table struct {
	paths map[string]map[string]*Route // path → method → route
}

// Add leads the methods of a path to a service. What is led elsewhere already is an error, and so is /metrics.
func (t *Table) Add(path string, service service.Service, methods ...string) error {
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
		t.paths[path][method] = &Route{Pattern: path, Service: service}
	}
	return nil
}

// Route implements [Router].
func (t *Table) Route(method, path string) Match {
	methods := t.paths[path]
	if route := methods[method]; route != nil {
		return Match{Route: route}
	}
	return Match{Allow: strings.Join(slices.Sorted(maps.Keys(methods)), ", ")}
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
