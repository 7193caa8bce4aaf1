package consul

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// bodyReader is a transport that lets a query read the body of its answer itself, while it arrives, where the library
// would have taken it whole and decoded all of it.
type bodyReader struct{ http.RoundTripper }

type bodyKey struct{}

// readingBody is a context for one query, whose answer, if it is one of status 200, read gets in place of the library. An
// error of read is that of the query.
func readingBody(ctx context.Context, read func(body io.Reader) error) context.Context {
	return context.WithValue(ctx, bodyKey{}, read)
}

// RoundTrip leaves a body behind in which the library finds nothing.
func (b bodyReader) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	read, wanted := request.Context().Value(bodyKey{}).(func(io.Reader) error)
	if err != nil || !wanted || response.StatusCode != http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	if err := read(response.Body); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(strings.NewReader("null"))
	return response, nil
}
