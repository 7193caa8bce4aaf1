package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/server/service"
)

// The headers of a message to a connector host.
const (
	headerMessageID  = "X-Zato-Message-ID"
	headerKind       = "X-Zato-Connector-Kind"
	headerProperties = "X-Zato-Properties" // a JSON object of texts: the message's headers, in ASCII
	// headerOutcome, in the answer, is notSent if the host is sure that the broker does not have the message.
	headerOutcome = "X-Zato-Outcome"
	notSent       = "not-sent"
	// contentType is the one among the message's headers that is HTTP's own too. It is among the properties as well: only
	// what stands there comes before the connector's definition.
	contentType = "content_type"
)

const (
	retryMin    = 50 * time.Millisecond
	retryMax    = time.Second
	connectTime = 2 * time.Second
	maxConns    = 256 // to a host
	maxAnswer   = 64 << 10
)

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: maxConns,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
}

// attempt is what came of one try.
type attempt struct {
	status  int // 0: no answer
	details string
	err     error
	reached bool // the host may have acted
}

// post sends a message through the active connector host, again and again until it is decided or ctx ends.
func (s *Set) post(ctx context.Context, kind, name string, message service.Message) error {
	for _, part := range []struct{ name, value string }{{"ID", message.ID}, {contentType, message.Headers[contentType]}} {
		if strings.ContainsFunc(part.value, isControl) {
			return failed(service.BadRequest, kind, name, fmt.Sprintf("%s %q: must have no control characters", part.name, part.value), nil)
		}
	}
	var last string
	doubtful := false // some host may have sent it
	delay, previous := retryMin, (<-chan struct{})(nil)
	for n := 0; ; n, delay = n+1, min(2*delay, retryMax) {
		host, changed, err := s.hosts.get(n)
		if changed != previous { // a fresh start, with the best of those that there are now
			n, delay, previous = 0, retryMin, changed
			host, changed, err = s.hosts.get(n)
		}
		switch {
		case err != nil:
			return undecided(kind, name, err.Error(), doubtful, err)
		case host == "" && last == "":
			last = "no connector host is active"
		case host != "":
			a := s.try(ctx, changed, host, kind, name, message)
			if done, err := decide(kind, name, a); done {
				return err
			}
			last, doubtful = a.details, doubtful || a.reached
			s.metrics.retries.WithLabelValues(kind).Inc()
		}
		if !rest(ctx, changed, delay, host == "") {
			return undecided(kind, name, last, doubtful, context.Cause(ctx))
		}
	}
}

// isControl says whether a header of HTTP cannot carry a character.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// undecided is the error when there is no time for another try.
func undecided(kind, name, last string, doubtful bool, cause error) error {
	if doubtful {
		return failed(service.Unavailable, kind, name, "not confirmed, it may have been sent or not: "+last, cause)
	}
	return failed(service.Unavailable, kind, name, "not sent: "+last, cause)
}

// rest waits before the next try, which is made as soon as another host is active. It says whether there is time for one.
func rest(ctx context.Context, changed <-chan struct{}, delay time.Duration, forHost bool) bool {
	timer := time.NewTimer(delay/2 + rand.N(delay/2))
	defer timer.Stop()
	expired := timer.C
	if forHost {
		expired = nil
	}
	select {
	case <-expired:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// decide says whether an attempt was the last, and what came of it. A host that asks for another token may have been
// given it a moment before or after this server.
func decide(kind, name string, a attempt) (done bool, err error) {
	fail := func(k service.Kind) (bool, error) {
		return true, failed(k, kind, name, a.details, a.err)
	}
	switch a.status {
	case 0, http.StatusUnauthorized, http.StatusConflict, http.StatusMisdirectedRequest, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		var invalid *invalidError
		if errors.As(a.err, &invalid) {
			return fail(service.Internal)
		}
		return false, nil
	case http.StatusNotFound:
		return true, service.NewError(service.Unavailable, fmt.Sprintf("there is no outgoing %s connection %q", kind, name), nil)
	case http.StatusRequestEntityTooLarge:
		return fail(service.TooLarge)
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return fail(service.BadRequest)
	}
	if a.status/100 == 2 {
		return true, nil
	}
	return fail(service.Internal)
}

// invalidError is about a message that cannot be put into a request.
type invalidError struct{ error }

func (e *invalidError) Unwrap() error { return e.error }

// try posts the message once. It gives up when the host is not the active one any more.
func (s *Set) try(ctx context.Context, changed <-chan struct{}, host, kind, name string, message service.Message) attempt {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body := &lent{reader: bytes.NewReader(message.Payload)}
	defer body.takeBack()
	request, err := s.request(ctx, host, kind, name, message, body)
	if err != nil {
		return attempt{err: &invalidError{err}, details: err.Error()}
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-changed:
			cancel(errors.New("another connector host is active"))
		case <-over:
		}
	})
	defer watching.Wait()
	defer close(over)
	response, err := s.client.Do(request)
	if err != nil {
		var dial *net.OpError
		refused := errors.As(err, &dial) && dial.Op == "dial"
		return attempt{err: err, details: fmt.Sprintf("connector host %s: %s", host, bare(ctx, err)), reached: !refused}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil && response.StatusCode/100 != 2 {
		return attempt{err: err, details: fmt.Sprintf("connector host %s: %s", host, bare(ctx, err)), reached: true}
	}
	return attempt{
		status: response.StatusCode, details: fmt.Sprintf("connector host %s: %d %s", host, response.StatusCode, connector.AnswerDetails(text)),
		reached: maySend(response),
	}
}

// maySend says whether an answer that decides nothing leaves open whether the broker has the message.
func maySend(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusServiceUnavailable:
		return response.Header.Get(headerOutcome) != notSent
	}
	return false
}

// bare is an error without the address, which is in it several times.
func bare(ctx context.Context, err error) string {
	if cause := context.Cause(ctx); cause != nil {
		return cause.Error()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

func (s *Set) request(ctx context.Context, host, kind, name string, message service.Message, body io.Reader) (*http.Request, error) {
	target := "http://" + host + "/outgoing/" + url.PathEscape(name)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = int64(len(message.Payload))
	if len(message.Payload) == 0 {
		request.Body = http.NoBody
	}
	header := request.Header
	header.Set(headerMessageID, message.ID)
	header.Set(headerKind, kind)
	header.Set("Content-Type", "application/octet-stream")
	properties := map[string]string{}
	for name, value := range message.Headers {
		properties[name] = value
		if name == contentType {
			header.Set("Content-Type", value)
		}
	}
	if kind == "amqp" { // the kinds without headers have no place for it
		passTrace(service.TraceOf(ctx), properties)
	}
	if len(properties) > 0 {
		header.Set(headerProperties, connector.FormatProperties(properties))
	}
	if s.config.Token != nil {
		if token := s.config.Token(); token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
	}
	return request, nil
}

// lent is a payload that belongs to somebody else when the try is over. The HTTP client may still read for a moment.
type lent struct {
	mu     sync.Mutex
	reader *bytes.Reader // nil: taken back
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reader == nil {
		return 0, io.ErrClosedPipe
	}
	return l.reader.Read(p)
}

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reader = nil
}
