package outgoing

import (
	"encoding/json"
	"fmt"
	"strings"

	"zatoha/server/service"
)

// passTrace adds the trace of the call to a message's headers, unless the service has said something else.
func passTrace(trace service.Trace, properties map[string]string) {
	for name, value := range map[string]string{"header.traceparent": trace.String(), "header.tracestate": trace.State()} {
		if _, own := properties[name]; !own && value != "" {
			properties[name] = value
		}
	}
}

// ascii is JSON without a byte that a header may not have.
func ascii(properties map[string]string) string {
	text, _ := json.Marshal(properties) // of texts, which never fails
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
