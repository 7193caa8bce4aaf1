package consul

import (
	"errors"
	"net/http"
	"strings"

	"zatoha/deploy/program/secretfile"
)

// keepToken is the token in a file, nil if there is no file. changed, which may be nil, is told when the file has another
// one, or none any more: see [secretfile.Keep].
func keepToken(path string, changed func(error)) (*secretfile.Kept, error) {
	if path == "" {
		return nil, nil
	}
	return secretfile.Keep(path, tokenIn, changed)
}

// tokenIn is the token that a file's text holds.
func tokenIn(text string) (string, error) {
	token := strings.TrimSpace(text)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("there is something else in it than a token")
	}
	return token, nil
}

// bearer is a transport that shows Consul the token in a file.
type bearer struct {
	http.RoundTripper
	token *secretfile.Kept
}

// RoundTrip puts the token in the place of the one that the library has.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("X-Consul-Token", b.token.Secret())
	return b.RoundTripper.RoundTrip(request)
}
