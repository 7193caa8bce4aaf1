package consul

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"zatoha/deploy/program/secretfile"
)

// tokenEvery is how often the token's file is looked at, when there is something to ask Consul.
const tokenEvery = time.Second

// readToken reads the token that a file holds.
func readToken(path string) (string, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(text)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s has something else in it than a token", path)
	}
	return token, nil
}

// bearer is a transport that shows Consul the token in a file. One that is changed there counts within a second; the last
// good one stays for as long as the file has none.
type bearer struct {
	http.RoundTripper
	path    string
	changed func(error) // is told of each new token by nil, and once of each reason why there is none

	mu     sync.Mutex
	token  string
	fault  string // why there is none in the file now
	looked time.Time
}

// RoundTrip puts the token in the place of the one that the library has.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("X-Consul-Token", b.current(time.Now()))
	return b.RoundTripper.RoundTrip(request)
}

func (b *bearer) current(now time.Time) string {
	b.mu.Lock()
	if now.Sub(b.looked) < tokenEvery {
		defer b.mu.Unlock()
		return b.token
	}
	b.looked = now
	token, err := readToken(b.path)
	news := true
	switch {
	case err != nil:
		news = b.fault != err.Error()
		b.fault = err.Error()
		err = fmt.Errorf("the token for Consul cannot be read again, the last one stays in use: %w", err)
	case token == b.token && b.fault == "":
		news = false
	default:
		b.token, b.fault = token, ""
	}
	token = b.token
	b.mu.Unlock()
	if news && b.changed != nil {
		b.changed(err)
	}
	return token
}
