package program

import (
	"strings"
	"unicode"
)

// Printable is a text for a terminal, which what somebody else has written must not steer: the same, with a replacement
// character in the place of each that cannot be printed.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
