package outgoing

import "zatoha/server/service"

// passTrace adds the trace of the call to a message's headers, unless the service has said something else.
func passTrace(trace service.Trace, properties map[string]string) {
	for name, value := range map[string]string{"header.traceparent": trace.String(), "header.tracestate": trace.State()} {
		if _, own := properties[name]; !own && value != "" {
			properties[name] = value
		}
	}
}
