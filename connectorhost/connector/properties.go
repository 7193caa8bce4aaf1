package connector

import (
	"encoding/json"
	"fmt"
	"strings"
)

// FormatProperties makes a JSON object of a message's properties, without a byte that a header of HTTP may not have.
func FormatProperties(properties map[string]string) string {
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
