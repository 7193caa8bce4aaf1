package tracing

import (
	"encoding/json"
	"strconv"
	"time"

	"zatoha/server/service"
)

// Resource is what spans are of.
type Resource struct{ Service, Version, Instance string }

// callSpan is one call of a service.
type callSpan struct {
	Call       service.Call
	Own        service.Trace
	Parent     service.Trace // zero: the trace begins here
	Start, End time.Time
	Err        error
}

// The message of OTLP in JSON, as far as it is needed: numbers of 64 bits are strings, IDs are hexadecimal.
type (
	attribute struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	spanMessage struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		ParentID   string      `json:"parentSpanId,omitempty"`
		State      string      `json:"traceState,omitempty"`
		Name       string      `json:"name"`
		Kind       int         `json:"kind"`
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []attribute `json:"attributes"`
		Status     status      `json:"status"`
	}
)

const (
	kindServer  = 2
	statusError = 2
)

// encode writes spans as an export request.
func encode(about Resource, spans []callSpan) ([]byte, error) {
	messages := make([]spanMessage, len(spans))
	for i, span := range spans {
		messages[i] = message(span)
	}
	type list = []map[string]any
	return json.Marshal(map[string]any{"resourceSpans": list{{
		"resource": map[string]any{"attributes": []attribute{
			text("service.name", about.Service), text("service.version", about.Version), text("service.instance.id", about.Instance),
		}},
		"scopeSpans": list{{"scope": map[string]any{"name": "zatoha/server"}, "spans": messages}},
	}}})
}

func message(span callSpan) spanMessage {
	m := spanMessage{
		TraceID: span.Own.ID(), SpanID: span.Own.Span(), State: span.Own.State(), Name: span.Call.Service, Kind: kindServer,
		Start: nanoseconds(span.Start), End: nanoseconds(span.End),
		Attributes: []attribute{
			text("zato.cid", span.Call.CID), text("zato.service", span.Call.Service), text("zato.channel", span.Call.Channel),
		},
	}
	if !span.Parent.IsZero() {
		m.ParentID = span.Parent.Span()
	}
	if span.Err != nil {
		kind, details := service.Classify(span.Err)
		m.Attributes = append(m.Attributes, text("error.type", kind.String()))
		m.Status = status{statusError, details}
	}
	return m
}

func text(key, value string) attribute {
	return attribute{key, map[string]string{"stringValue": value}}
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
