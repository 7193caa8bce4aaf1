package connector

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Shorten cuts a text to at most so many bytes, three or more, between characters; an ellipsis, which counts, then ends
// it.
func Shorten(text string, most int) string {
	const ellipsis = "…"
	if len(text) <= most {
		return text
	}
	most = max(0, most-len(ellipsis))
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + ellipsis
}

// maxDetails is how many bytes of details go into a reason.
const maxDetails = 500

// AnswerDetails is what an answer by HTTP says, for people: the details of our JSON envelope, else the beginning of
// whatever else came, in printable characters on one line, in at most 500 bytes.
func AnswerDetails(answer []byte) string {
	var envelope struct {
		Env struct {
			Details string `json:"details"`
		} `json:"zato_env"`
	}
	text := string(answer)
	if json.Unmarshal(answer, &envelope) == nil && envelope.Env.Details != "" {
		text = envelope.Env.Details
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	return Shorten(strings.Join(strings.Fields(text), " "), maxDetails)
}
