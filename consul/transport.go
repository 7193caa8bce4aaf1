package consul

import (
	"net/http"
	"time"
)

const (
	// idleTime is how long a connection is kept for the next call. A lease makes one each quarter of a second.
	idleTime = 5 * time.Second
	// idleConnections is how many are kept.
	idleConnections = 4
)

// splitTransport is a transport that has two ways to the agent.
//
// A query that blocks has a connection of its own. On one that was used before, net/http would silently repeat a GET that
// broke: it would take its old index to a Consul that has just restarted with lower ones, which would hold it for the
// whole wait. All else is quick, and frequent, and done by connections that are kept: to make one takes longer than most
// answers.
type splitTransport struct{ blocking, quick http.RoundTripper }

// newSplitTransport makes both of a transport that keeps no connection.
func newSplitTransport(blocking *http.Transport) splitTransport {
	quick := blocking.Clone()
	quick.DisableKeepAlives, quick.MaxIdleConnsPerHost, quick.IdleConnTimeout = false, idleConnections, idleTime
	return splitTransport{blocking, quick}
}

// RoundTrip takes the way that suits the request.
func (t splitTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if query := request.URL.Query(); query.Has("index") || query.Has("hash") {
		return t.blocking.RoundTrip(request)
	}
	return t.quick.RoundTrip(request)
}
