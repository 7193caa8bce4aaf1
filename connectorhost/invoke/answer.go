package invoke

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"zatoha/connectorhost/connector"
)

// describe says a status and the details that came with it, for people.
func describe(status int, answer []byte) string {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if more := connector.AnswerDetails(answer); more != "" {
		text += ": " + more
	}
	return text
}

// printable says whether a text can be the value of a header.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// maxID is the length above which a message's ID is not sent as it is.
const maxID = 255

// headerValue makes a header's value of a message's ID, which a publisher may have chosen as it pleased. One that cannot
// be a value, or is very long, becomes its SHA-256, which is as good a name.
func headerValue(id string) string {
	if id != "" && len(id) <= maxID && printable(id) && strings.TrimSpace(id) == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}
