package history

import (
	"strings"
	"testing"
	"time"
)

func TestANoteIsReadOrRefused(t *testing.T) {
	e, err := ReadNote("c-1 7 1767351600123456789 c-1-42 K1 true server-2/4711")
	want := Effect{
		Connector: "c-1", Message: "c-1-42", ID: "K1", Redelivered: true, Server: "server-2/4711", Epoch: 7, At: time.Unix(0, 1767351600123456789),
	}
	if err != nil || e != want {
		t.Errorf("%v, %v", e, err)
	}
	for line, want := range map[string]string{
		"":                      "is no note",
		"c-1 7 1":               "is no note",
		"c-1 7 1 m i true":      "is no note",
		"c-1 x 1 m i true s/1":  "has no epoch",
		"c-1 7 1s m i true s/1": "has no time",
		"c-1 7 1 m i maybe s/1": "does not say whether",
	} {
		if _, err := ReadNote(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}
