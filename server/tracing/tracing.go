// Package tracing sends a span of each call of a service to an OpenTelemetry collector, by OTLP over HTTP in its JSON
// form. That is little enough to do without the SDK, which would bring gRPC and newer versions of what HAProxy's client
// library needs.
//
// One case from start to end: a request with the header traceparent 00-4bf9…-00f0…-01 reaches the channel orders.
// [Tracer.Begin] gives the call a place of its own in that trace, a child of 00f0…, which the service passes on to
// whatever it calls. When the service is done the span ends, with the CID, the service and the channel, and an error's
// kind if there was one; a second later at most it goes to the collector's /v1/traces, with those that came meanwhile. A
// caller that does not record its trace gets no span. A collector that is away, or asks for
// patience, gets the same spans a second later, five times at most; meanwhile 4096 more are kept, and what is beyond that
// is lost, counted, and costs nothing else.
package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"zatoha/server/service"
)

const (
	mostQueued    = 4096 // spans; more are lost
	mostSent      = 512  // spans at a time
	mostTries     = 5    // of a batch
	every         = time.Second
	exportTimeout = 5 * time.Second
	closeTimeout  = 2 * time.Second
)

// Tracer begins and ends spans. Make it by [New], and end it by Close.
type Tracer struct {
	target  string
	about   Resource
	client  *http.Client
	log     zerolog.Logger
	queue   chan callSpan
	closing chan struct{}
	closed  chan struct{}
	spans   *prometheus.CounterVec

	batch []callSpan // that is being sent; of the goroutine that exports
	tries int        // that failed
}

var errNoURL = errors.New("must be a URL like http://127.0.0.1:4318")

// New makes a tracer that sends to a collector, given by its URL without /v1/traces.
func New(endpoint string, about Resource, registry prometheus.Registerer, log zerolog.Logger) (*Tracer, error) {
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errNoURL
	}
	t := &Tracer{
		target: strings.TrimSuffix(endpoint, "/") + "/v1/traces", about: about, log: log,
		client: &http.Client{Timeout: exportTimeout, Transport: &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute}},
		queue:  make(chan callSpan, mostQueued), closing: make(chan struct{}), closed: make(chan struct{}),
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_spans_total", Help: "Spans, by what became of them (sent; tried again, since the collector was away; or lost).",
		}, []string{"what"}),
	}
	registry.MustRegister(t.spans)
	go t.export()
	return t, nil
}

// Begin begins the span of a call, in the trace of its caller if it has one. The function returned ends it.
func (t *Tracer) Begin(call service.Call) (own service.Trace, end func(error)) {
	span := callSpan{Call: call, Start: time.Now()}
	if call.Trace.IsZero() {
		span.Own = service.NewTrace()
	} else {
		span.Own, span.Parent = call.Trace.Child(), call.Trace
	}
	if !span.Own.Sampled() {
		return span.Own, func(error) {}
	}
	return span.Own, func(err error) {
		span.End, span.Err = time.Now(), err
		select {
		case t.queue <- span:
		default:
			t.spans.WithLabelValues("lost").Inc()
		}
	}
}

// Close sends what has been gathered, in bounded time.
func (t *Tracer) Close() {
	close(t.closing)
	<-t.closed
	t.client.CloseIdleConnections()
}

// export sends until Close.
func (t *Tracer) export() {
	defer close(t.closed)
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		last := false
		select {
		case <-tick.C:
		case <-t.closing:
			last = true
		}
		timeout := exportTimeout
		if last {
			timeout = closeTimeout
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := t.flush(ctx, last)
		cancel()
		if err != nil && !failing {
			t.log.Warn().Err(err).Msg("the collector does not take spans; they are tried again, and lost if that lasts")
		}
		if err == nil && failing {
			t.log.Info().Msg("the collector takes spans again")
		}
		failing = err != nil
		if last {
			return
		}
	}
}

// flush sends what is in the queue, until that fails. What fails for the last time is lost.
func (t *Tracer) flush(ctx context.Context, last bool) error {
	for {
		if len(t.batch) == 0 {
			t.batch, t.tries = t.take(mostSent), 0
		}
		if len(t.batch) == 0 {
			return nil
		}
		err := t.send(ctx, t.batch)
		count := float64(len(t.batch))
		var answer *refusal
		switch t.tries++; {
		case err == nil:
			t.spans.WithLabelValues("sent").Add(count)
			t.batch = nil
			continue
		case last:
			t.spans.WithLabelValues("lost").Add(count + float64(len(t.take(mostQueued))))
			t.batch = nil
		case t.tries >= mostTries, errors.As(err, &answer) && !answer.mayChange():
			t.spans.WithLabelValues("lost").Add(count)
			t.batch = nil
		default:
			t.spans.WithLabelValues("retried").Add(count)
		}
		return err
	}
}

// take takes spans from the queue, as many as there are up to a number.
func (t *Tracer) take(most int) (spans []callSpan) {
	for len(spans) < most && len(t.queue) > 0 {
		spans = append(spans, <-t.queue)
	}
	return spans
}

// refusal is an answer of the collector that is no success.
type refusal struct {
	target string
	status int
	text   []byte
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s answers %d %s: %.200s", r.target, r.status, http.StatusText(r.status), r.text)
}

// mayChange says whether the same spans may be taken later, by OTLP's rules.
func (r *refusal) mayChange() bool {
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (t *Tracer) send(ctx context.Context, spans []callSpan) error {
	body, err := encode(t.about, spans)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err == nil && response.StatusCode/100 != 2 {
		err = &refusal{t.target, response.StatusCode, answer}
	}
	return err
}
