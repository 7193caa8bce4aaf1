package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"zatoha/connectorhost/connector"
	"zatoha/deploy/program"
)

const (
	// sendTime is how long a message may take from its last byte to the broker's confirmation.
	sendTime    = 25 * time.Second
	receiveTime = 30 * time.Second // until its last byte
	roomTime    = time.Second      // until others have left room for it
	briefBody   = 64 << 10         // bytes that come within the time that every request has

	longestID      = 512
	messagesAtOnce = 1024
	bytesAtOnce    = 256 << 20

	rememberedSends = 10000
	rememberSends   = 10 * time.Minute
)

// outgoing answers POST /outgoing/<name>, by which services send messages to brokers: 200 when the broker has confirmed.
// Only the active host has connectors to send by.
type outgoing struct {
	host   *host
	token  *program.SharedToken // nil if there is none
	window *window
	heirs  *heirs
	count  *semaphore.Weighted // of messages in hand
	bytes  *semaphore.Weighted // of theirs

	messages *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	learned  prometheus.Counter
}

func newOutgoing(h *host) *outgoing {
	window := newWindow(rememberedSends, rememberSends)
	return &outgoing{
		host: h, window: window, heirs: newHeirs(rand.Text(), window),
		count: semaphore.NewWeighted(messagesAtOnce), bytes: semaphore.NewWeighted(max(bytesAtOnce, h.MaxMessageBytes)),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: space + "outgoing_messages_total",
			Help: "Messages that services posted, by connector and result (sent, duplicate, not-sent, unconfirmed, refused).",
		}, []string{"connector", "result"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: space + "outgoing_duration_seconds", Help: "Time until the broker has confirmed a message, by connector.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25},
		}, []string{"connector"}),
		learned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: space + "outgoing_learned_total", Help: "Messages that another host has sent, which this one would not send again.",
		}),
	}
}

// message is one that was posted.
type message struct {
	name, kind  string // of the connector, as it is posted to
	id          string
	contentType string // "" for what the definition says
	properties  string // a JSON object of texts, or ""
	body        []byte
}

func (o *outgoing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if r.ContentLength < 0 || r.ContentLength > briefBody {
		_ = control.SetReadDeadline(time.Now().Add(receiveTime))
	}
	_ = control.SetWriteDeadline(time.Now().Add(receiveTime + sendTime + requestTimeout))
	name := r.PathValue("name")
	if bad := cmp.Or(o.admit(r), describe(r)); bad != nil {
		o.finish(w, r, unknownConnector, *bad, "refused")
		return
	}
	if s := o.window.known(windowKey(name, r.Header.Get(headerMessageID)), time.Now()); s != nil { // however its connector does now
		answer, result := s.outcome(r.Context())
		o.finish(w, r, o.label(name), answer, result)
		return
	}
	if away := o.whyNot(name, r.Header.Get(headerKind)); away != nil { // before the body is read
		o.finish(w, r, o.label(name), *away, resultOf(*away))
		return
	}
	m, leave, bad := o.receive(w, r, name)
	if bad != nil {
		o.finish(w, r, name, *bad, "refused")
		return
	}
	defer leave()
	answer, result := o.once(r.Context(), m)
	o.finish(w, r, name, answer, result)
}

// finish counts a message and answers.
func (o *outgoing) finish(w http.ResponseWriter, r *http.Request, label string, a reply, result string) {
	o.done(label, r, a, result)
	if result == "duplicate" {
		w.Header().Set(headerDuplicate, "true")
	}
	a.write(w)
}

// unknownConnector is the label of messages for a connector that is not defined here: whoever posts could make up names
// without end.
const unknownConnector = "unknown"

func (o *outgoing) label(name string) string {
	known := false
	o.host.view(func() { _, known = o.host.catalog.good[name] })
	if !known {
		return unknownConnector
	}
	return name
}

// done counts a message, and logs what a broker may or may not have.
func (o *outgoing) done(name string, r *http.Request, a reply, result string) {
	o.messages.WithLabelValues(name, result).Inc()
	event := o.host.log.Debug()
	switch result {
	case "unconfirmed":
		event = o.host.log.Warn()
	case "refused":
		event = o.host.log.Info()
	}
	if !event.Enabled() { // as for most, which are many
		return
	}
	event.Str("connector", r.PathValue("name")).Str("message", shortened(r.Header.Get(headerMessageID))).Str("from", r.RemoteAddr).
		Int("status", a.status).Str("why", a.details).Msg("a message was posted: " + result)
}

func shortened(text string) string { return connector.Shorten(strings.ToValidUTF8(text, "?"), 100) }

// refuse is a reply to what is wrong.
func refuse(status int, format string, args ...any) *reply {
	return &reply{status: status, notSent: true, details: fmt.Sprintf(format, args...)}
}

// admit says what is wrong with whoever asks.
func (o *outgoing) admit(r *http.Request) *reply {
	switch {
	case o.token != nil && !o.token.Accepts(bearer(r)):
		return refuse(http.StatusUnauthorized, "messages need the cluster's token, as Authorization: Bearer")
	case o.token == nil && r.Host != o.host.address && !program.ByAddress(r): // a page in a browser could have made a name of its own point here
		return refuse(http.StatusForbidden, "%q is not how this host is called: use the address that Consul has, %s", shortened(r.Host), o.host.address)
	}
	return nil
}

// describe says what is wrong with what is said of a message.
func describe(r *http.Request) *reply {
	id := r.Header.Get(headerMessageID)
	if id == "" || len(id) > longestID {
		return refuse(http.StatusBadRequest, "%s: must have 1 to %d bytes", headerMessageID, longestID)
	}
	if text := r.Header.Get(headerProperties); text != "" {
		var properties map[string]string
		if err := json.Unmarshal([]byte(text), &properties); err != nil {
			return refuse(http.StatusBadRequest, "%s: must be a JSON object of texts: %v", headerProperties, err)
		}
	}
	return nil
}

// receive reads a message when there is room for it. The function returned makes room for others.
func (o *outgoing) receive(w http.ResponseWriter, r *http.Request, name string) (m message, leave func(), bad *reply) {
	size, most := r.ContentLength, o.host.MaxMessageBytes
	if size > most {
		return m, nil, &reply{http.StatusRequestEntityTooLarge, true, fmt.Sprintf("the message has %d bytes, more than %d", size, most)}
	}
	if size < 0 {
		size = most
	}
	if !o.enter(r.Context(), size) {
		return m, nil, &reply{http.StatusTooManyRequests, true, "too many messages are on their way"}
	}
	leave = func() {
		o.bytes.Release(size)
		o.count.Release(1)
	}
	body, err := readBody(w, r, most)
	if err != nil {
		leave()
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return m, nil, &reply{http.StatusRequestEntityTooLarge, true, fmt.Sprintf("the message has more than %d bytes", most)}
		}
		return m, nil, &reply{http.StatusBadRequest, true, "the message did not come whole: " + err.Error()}
	}
	m = message{
		name: name, kind: r.Header.Get(headerKind), id: r.Header.Get(headerMessageID), properties: r.Header.Get(headerProperties),
		contentType: r.Header.Get("Content-Type"), body: body,
	}
	if m.contentType == "application/octet-stream" { // of services that name none; what the definition says is better
		m.contentType = ""
	}
	return m, leave, nil
}

// readBody reads a body of no more than so many bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) (body []byte, err error) {
	if r.ContentLength < 0 || r.ContentLength > briefBody { // what is claimed is not believed before it comes
		return io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	}
	body = make([]byte, r.ContentLength)
	_, err = io.ReadFull(r.Body, body)
	return body, err
}

// enter waits until there is room for a message of that size, but not for long.
func (o *outgoing) enter(ctx context.Context, size int64) bool {
	if o.count.TryAcquire(1) {
		if o.bytes.TryAcquire(size) {
			return true
		}
		o.count.Release(1)
	}
	ctx, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	if o.count.Acquire(ctx, 1) != nil {
		return false
	}
	if o.bytes.Acquire(ctx, size) != nil {
		o.count.Release(1)
		return false
	}
	return true
}

// once sends a message, unless it was sent or is being sent: then it returns what came, or comes, of that.
func (o *outgoing) once(ctx context.Context, m message) (answer reply, result string) {
	s, first := o.window.begin(windowKey(m.name, m.id), time.Now())
	if !first {
		return s.outcome(ctx)
	}
	began := time.Now()
	answer = o.send(ctx, m)
	sent := answer.status == http.StatusOK
	o.window.finish(s, answer, sent, time.Now())
	if sent {
		o.latency.WithLabelValues(m.name).Observe(time.Since(began).Seconds())
	}
	return answer, resultOf(answer)
}

// outcome is what came, or comes, of a message that somebody else sends.
func (s *sending) outcome(ctx context.Context) (answer reply, result string) {
	select {
	case <-s.done:
		if s.status == http.StatusOK {
			return s.reply, "duplicate"
		}
		return s.reply, resultOf(s.reply)
	case <-ctx.Done():
		return reply{status: http.StatusServiceUnavailable, details: "the message is on its way"}, "unconfirmed"
	}
}

func resultOf(a reply) string {
	switch {
	case a.status == http.StatusOK:
		return "sent"
	case a.status == http.StatusServiceUnavailable && a.notSent:
		return "not-sent"
	case a.notSent:
		return "refused"
	}
	return "unconfirmed"
}

// send hands a message to its connector. Whoever posted it may hang up: what becomes of it is of interest to who posts it
// again.
func (o *outgoing) send(ctx context.Context, m message) reply {
	l, away := o.find(m.name, m.kind)
	if away != nil {
		return *away
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	return sendBy(ctx, l, m)
}
