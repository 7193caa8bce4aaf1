package outgoing

import (
	"encoding/json"
	"strings"
	"testing"

	"zatoha/server/service"
)

// A message carries the trace of the call that sends it, in headers by which the other side's tracing knows it.
func TestTheTraceGoesWithAMessage(t *testing.T) {
	const parent, state = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1"
	trace, _ := service.ParseTrace(parent)
	h := newHost(t, says(200, ""))
	s := newSet(t, Config{})
	s.hosts.set([]string{h.address()})
	ctx := service.NewContext(t.Context(), service.Call{Trace: trace.WithState(state)})
	own := map[string]string{"header.traceparent": "mine"}
	for _, c := range []struct {
		kind    string
		headers map[string]string
		want    string
	}{
		{"amqp", nil, `{"header.traceparent":"` + parent + `","header.tracestate":"a=1"}`},
		{"amqp", own, `{"header.traceparent":"mine","header.tracestate":"a=1"}`},
		{"ibmmq", nil, ""},
	} {
		if err := s.Outgoing(c.kind, "orders").Send(ctx, service.Message{Headers: c.headers}); err != nil {
			t.Fatal(err)
		}
		if got := h.seen[len(h.seen)-1].Header.Get(headerProperties); got != c.want {
			t.Errorf("%s, %v: %s, want %s", c.kind, c.headers, got, c.want)
		}
	}
	if len(own) != 1 {
		t.Errorf("the service's own headers became %v", own)
	}
}

func TestWhatIsSentToAHost(t *testing.T) {
	h := newHost(t, says(200, ""))
	s := newSet(t, Config{Token: func() string { return "s3cret" }})
	s.hosts.set([]string{h.address()})
	headers := map[string]string{"content_type": "text/plain", "routing_key": "a\nb", "Grüße": "😀"}
	for _, m := range []service.Message{
		{Payload: []byte("x"), ID: "4711", Headers: headers},
		{},
	} {
		if err := s.Outgoing("ibmmq", "a b/c").Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	first, second := h.seen[0], h.seen[1]
	if first.Method != "POST" || first.RequestURI != "/outgoing/a%20b%2Fc" || first.Header.Get(headerMessageID) != "4711" ||
		first.Header.Get(headerKind) != "ibmmq" || first.Header.Get("Content-Type") != "text/plain" ||
		first.Header.Get("Authorization") != "Bearer s3cret" || first.ContentLength != 1 {
		t.Errorf("%s %s %v", first.Method, first.RequestURI, first.Header)
	}
	var properties map[string]string
	text := first.Header.Get(headerProperties)
	if err := json.Unmarshal([]byte(text), &properties); err != nil || len(properties) != 3 ||
		properties["content_type"] != "text/plain" || properties["routing_key"] != "a\nb" || properties["Grüße"] != "😀" || strings.ContainsFunc(text, func(r rune) bool { return r > 126 || r < 32 }) {
		t.Errorf("%s: %v", text, err)
	}
	if second.Header.Get(headerMessageID) == "" || second.Header.Get(headerProperties) != "" ||
		second.Header.Get("Content-Type") != "application/octet-stream" || second.ContentLength != 0 {
		t.Errorf("%v", second.Header)
	}
}

// What HTTP cannot carry is said at once, host or no host: another try would change nothing.
func TestControlCharactersAreRefusedAtOnce(t *testing.T) {
	h := newHost(t, says(200, ""))
	s := newSet(t, Config{})
	for _, hosts := range [][]string{nil, {h.address()}} {
		s.hosts.set(hosts)
		for want, message := range map[string]service.Message{
			`outgoing amqp connection "orders": ID "a\nb": must have no control characters`:            {ID: "a\nb"},
			`outgoing amqp connection "orders": ID "\x7f": must have no control characters`:            {ID: "\x7f"},
			`outgoing amqp connection "orders": content_type "a\x00": must have no control characters`: {Headers: map[string]string{"content_type": "a\x00"}},
		} {
			err := s.Outgoing("amqp", "orders").Send(t.Context(), message)
			if kind, details := service.Classify(err); kind != service.BadRequest || details != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
	if err := s.Outgoing("amqp", "orders").Send(t.Context(), service.Message{ID: "Grüße\t1", Headers: map[string]string{"routing_key": "a\nb"}}); err != nil {
		t.Error(err)
	}
	if got := len(h.ids()); got != 1 {
		t.Errorf("the host got %d messages", got)
	}
}
