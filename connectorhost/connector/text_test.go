package connector

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.StringN(0, 50, -1).Draw(t, "text"), rapid.IntRange(3, 60).Draw(t, "most")
		short := Shorten(text, most)
		if len(short) > most || !utf8.ValidString(short) || len(text) <= most && short != text {
			t.Fatalf("%q cut to %d is %q", text, most, short)
		}
	})
}

func TestDetailsAreForPeople(t *testing.T) {
	for answer, want := range map[string]string{
		"": "", "<html>\r\n\x00 no\x1b[31m</html>": "<html> no [31m</html>", `{"zato_env": {"details": "closed"}}`: "closed",
		`{"other": 1}`: `{"other": 1}`, "a\xffb": "a b", strings.Repeat("ü", 600): strings.Repeat("ü", 248) + "…",
	} {
		if got := AnswerDetails([]byte(answer)); got != want {
			t.Errorf("%q: %q", answer, got)
		}
	}
}
