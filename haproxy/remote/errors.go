package remote

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Error is a call to the API that failed. It never holds credentials.
type Error struct {
	Call    string // method and URL
	Status  int    // of the answer, 0 if none came
	Message string // the API's own words
	err     error  // why no answer came
}

func (e *Error) Unwrap() error { return e.err }

func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("the Data Plane API does not answer: %s: %v: see that it runs and can be reached from here", e.Call, e.err)
	}
	text := fmt.Sprintf("the Data Plane API answers %d %s: %s: ", e.Status, http.StatusText(e.Status), e.Call)
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		// Its own words repeat the password.
		return text + "see that user and password are those of its userlist"
	case e.Status == http.StatusTooManyRequests:
		return text + e.Message + ": it has too many open transactions: close them, or raise its max_open_transactions"
	case e.Status == http.StatusNotFound:
		return text + e.Message + ": see that the URL is that of a Data Plane API 2.x, without its /v2"
	case e.Status/100 == 3:
		return text + "it sends us elsewhere: give the URL that it sends to"
	case e.refusal():
		return text + complaints(e.Message)
	}
	return text + e.Message
}

// refusal says whether haproxy did not accept a configuration.
func (e *Error) refusal() bool {
	return e.Status == http.StatusBadRequest && strings.HasPrefix(e.Message, "validation error")
}

// undone says whether the API has certainly not done what it was asked for.
func (e *Error) undone() bool { return e.Status/100 == 4 }

// conflict says whether somebody else has written in between.
func (e *Error) conflict() bool { return e.Status == http.StatusConflict }

// fault is the API's answer to a question to HAProxy when it cannot ask it.
func (e *Error) fault() bool { return e.Status == http.StatusInternalServerError }

// failure says whether err is an answer of the API for which is holds.
func failure(err error, is func(*Error) bool) bool {
	var answered *Error
	return errors.As(err, &answered) && is(answered)
}

// ConditionError says that the file has a condition, which the API would make meaningless by writing the file anew.
type ConditionError struct {
	Line int // counted from 1
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("line %d is conditional, and the Data Plane API drops conditions when it writes the file, so that what they guard always applies: take the condition out of the file", e.Line)
}

// ErrNotRunning says that the API is there and HAProxy is not.
var ErrNotRunning = errors.New("haproxy does not answer the Data Plane API: start it, and give the API its runtime socket")

var position = regexp.MustCompile(`^config parsing \[\S+:(\d+)\] *`)

// complaints are those of haproxy about a configuration, without the API's wrapping and the name of its temporary file.
func complaints(message string) string {
	var all []string
	for line := range strings.Lines(message) {
		complaint, found := strings.CutPrefix(strings.TrimSpace(line), `msg="`)
		complaint = strings.TrimSuffix(complaint, `"`)
		if !found || strings.HasPrefix(complaint, "config Error(s) found") || strings.HasPrefix(complaint, "config Fatal errors found") {
			continue
		}
		all = append(all, position.ReplaceAllString(complaint, "line $1: "))
	}
	if len(all) == 0 {
		return message
	}
	return "haproxy refuses the configuration: " + strings.Join(all, "; ")
}
