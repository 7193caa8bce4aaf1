package consul

import (
	"net/http"
	"time"
)

const (
	// idleTime is how long a connection is kept for the next call. A lease makes one each quarter of a second.
	idleTime = 5 * time.Second
	// idleLines is how many are kept.
	idleLines = 4
)

// lines is a transport that has two ways to the agent.
//
// A query that blocks has a connection of its own. On one that was used before, net/http would silently repeat a GET that broke:
// it would take its old index to a Consul that has just restarted with lower ones, which would hold it for the whole wait.
// All else is quick, and frequent, and done by connections that are kept: to make one takes longer than most answers.
type lines struct{ blocking, quick http.RoundTripper }

// newLines makes both of a transport that keeps no connection.
func newLines(blocking *http.Transport) lines {
	quick := blocking.Clone()
	quick.DisableKeepAlives, quick.MaxIdleConnsPerHost, quick.IdleConnTimeout = false, idleLines, idleTime
	return lines{blocking, quick}
}

// RoundTrip takes the way that suits the request.
func (l lines) RoundTrip(request *http.Request) (*http.Response, error) {
	if query := request.URL.Query(); query.Has("index") || query.Has("hash") {
		return l.blocking.RoundTrip(request)
	}
	return l.quick.RoundTrip(request)
}
