package consul

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"zatoha/deploy/program/secretfile"
)

// token is the one in a file, which may be exchanged there. The agent goes on with the one that an instance was
// registered with, and tells Consul by that how its checks do: whoever keeps an instance registered does it again by
// another token. Only then is that told, since only then may the old one be deleted. An instance that nobody keeps any
// more counts until it is deregistered: the agent has it still. It is safe for concurrent use, and nil is none.
type token struct {
	*secretfile.Kept
	changed func(error)

	mu   sync.Mutex
	by   map[string]string // with which each instance was registered last, by its ID; "" before the first time
	news bool              // another one counts, which was not told yet
}

// keepToken is the token in a file, nil if there is no file. changed, which may be nil, is told when the file has another
// one by which all is registered, or none any more: see [secretfile.Keep].
func keepToken(path string, changed func(error)) (*token, error) {
	if path == "" {
		return nil, nil
	}
	t := &token{changed: changed, by: map[string]string{}}
	kept, err := secretfile.Keep(path, tokenIn, t.looked)
	t.Kept = kept
	return t, err
}

// looked hears of another token, or why there is none.
func (t *token) looked(err error) {
	if err != nil {
		t.tell(err)
		return
	}
	t.mu.Lock()
	t.news = true
	t.mu.Unlock()
	t.settle()
}

// settle tells of another token if everything is registered with it.
func (t *token) settle() {
	now := t.Secret()
	t.mu.Lock()
	settled := t.news
	for _, secret := range t.by {
		settled = settled && secret == now
	}
	t.news = t.news && !settled
	t.mu.Unlock()
	if settled {
		t.tell(nil)
	}
}

func (t *token) tell(err error) {
	if t.changed != nil {
		t.changed(err)
	}
}

// now is the token that counts.
func (t *token) now() string {
	if t == nil {
		return ""
	}
	return t.Secret()
}

// registered says with which token, or a later one, an instance was registered; "" is before it was.
func (t *token) registered(id, secret string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.by[id] = secret
	t.mu.Unlock()
	t.settle()
}

// left says that the agent does not have an instance any more.
func (t *token) left(id string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	delete(t.by, id)
	t.mu.Unlock()
	t.settle()
}

// looks ticks when it is time to look whether another token counts, and never without a file.
func (t *token) looks() (tick <-chan time.Time, stop func()) {
	if t == nil {
		return nil, func() {}
	}
	ticker := time.NewTicker(time.Second)
	return ticker.C, ticker.Stop
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
	token *token
}

// RoundTrip puts the token in the place of the one that the library has.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("X-Consul-Token", b.token.Secret())
	return b.RoundTripper.RoundTrip(request)
}
