// Package tracing sends a span of each call of a service to an OpenTelemetry collector, by OTLP over HTTP in its JSON
// form. That is little enough to do without the SDK, which would bring gRPC and newer versions of what HAProxy's client
// library needs.
//
// One case from start to end: a request with the header traceparent 00-4bf9…-00f0…-01 reaches the channel orders.
// [Tracer.Begin] gives the call a place of its own in that trace, a child of 00f0…, which the service passes on to whatever
// it calls. When the service is done the span ends, with the CID, the service and the channel, and an error's kind if there
// was one; a second later at most it goes to the collector's /v1/traces, with those that came meanwhile. A caller that does
// not record its trace gets no span. A collector that is away costs spans, which are counted, and nothing else.
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
	queue   chan Span
	closing chan struct{}
	closed  chan struct{}
	spans   *prometheus.CounterVec
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
		queue:  make(chan Span, mostQueued), closing: make(chan struct{}), closed: make(chan struct{}),
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zato_server_spans_total", Help: "Spans, by what became of them (sent, or lost on the way to the collector).",
		}, []string{"what"}),
	}
	registry.MustRegister(t.spans)
	go t.export()
	return t, nil
}

// Begin begins the span of a call, in the trace of its caller if it has one. The function returned ends it.
func (t *Tracer) Begin(call service.Call) (own service.Trace, end func(error)) {
	span := Span{Call: call, Start: time.Now()}
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
func (t *Tracer) Close() error {
	close(t.closing)
	<-t.closed
	t.client.CloseIdleConnections()
	return nil
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
		err := t.flush(ctx)
		cancel()
		if err != nil && !failing {
			t.log.Warn().Err(err).Msg("spans are lost: the collector does not take them")
		}
		failing = err != nil
		if last {
			return
		}
	}
}

// flush sends what is in the queue.
func (t *Tracer) flush(ctx context.Context) error {
	for {
		var spans []Span
		for len(spans) < mostSent && len(t.queue) > 0 {
			spans = append(spans, <-t.queue)
		}
		if len(spans) == 0 {
			return nil
		}
		if err := t.send(ctx, spans); err != nil {
			t.spans.WithLabelValues("lost").Add(float64(len(spans)))
			return err
		}
		t.spans.WithLabelValues("sent").Add(float64(len(spans)))
	}
}

func (t *Tracer) send(ctx context.Context, spans []Span) error {
	body, err := Encode(t.about, spans)
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
		err = fmt.Errorf("%s answers %s: %.200s", t.target, response.Status, answer)
	}
	return err
}
