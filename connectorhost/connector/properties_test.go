package connector

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

func TestPropertiesMakeAHeader(t *testing.T) {
	properties := map[string]string{"reply_to": "a\nb\x7f", "Grüße": "😀", "empty": ""}
	text := FormatProperties(properties)
	var got map[string]string
	if err := json.Unmarshal([]byte(text), &got); err != nil || !maps.Equal(got, properties) {
		t.Errorf("%s: %v", text, err)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Error(text)
	}
}
