package program

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"zatoha/deploy/program/secretfile"
)

const shortestToken = 16

// checkToken refuses a token so short that it may be guessed.
func checkToken(token string) (string, error) {
	if len(token) < shortestToken {
		return "", fmt.Errorf("the token has less than %d characters", shortestToken)
	}
	return token, nil
}

// tokenGrace is for how long a token is accepted behind its exchange for another one: those who show it do not all read
// theirs at once.
const tokenGrace = time.Minute

// SharedToken is what the programs of a cluster show to each other. One that has changed in its file counts within a
// second, without a restart. It is safe for concurrent use; nil is no token, which nobody can show.
type SharedToken struct {
	text string           // if it never changes
	file *secretfile.Kept // else

	mu       sync.Mutex
	accepted token
}

// GivenToken is the token that stands in one of two flags, or in the file that the other one, of the same name with -file
// behind it, names; nil if there is neither. The error is a [ConfigError]. changed is told later, from any goroutine,
// when the file has another one, by nil, or none, once, by the reason; then the last one stays in use.
func GivenToken(flag, text, file string, changed func(error)) (*SharedToken, error) {
	t := &SharedToken{}
	var err error
	remedy := "make one by: openssl rand -hex 32"
	switch {
	case file == "" && text == "":
		return nil, nil
	case file != "" && text != "":
		return nil, BadConfig(flag+"-file", "there is "+flag+" too", "give one of them")
	case file != "":
		flag, remedy = flag+"-file", "name a file that this user can read, with a token in it, as openssl rand -hex 32 makes one"
		t.file, err = secretfile.Keep(file, checkToken, changed)
	default:
		t.text, err = checkToken(text)
	}
	if err != nil {
		return nil, BadConfig(flag, err.Error(), remedy)
	}
	t.accepted.renew(t.Shown(), time.Now())
	return t, nil
}

// Shown is the token to show to others, empty if there is none.
func (t *SharedToken) Shown() string {
	switch {
	case t == nil:
		return ""
	case t.file != nil:
		return t.file.Secret()
	default:
		return t.text
	}
}

// Accepts says whether somebody has the token, or the one before it, up to a minute behind the exchange. It takes as long
// whatever was shown.
func (t *SharedToken) Accepts(shown []byte) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.accepted.renew(t.Shown(), now)
	return t.accepted.accepts(shown, now)
}

// Follow looks at the file every second until ctx ends, whether somebody asks or not: the minute of the token before
// begins when the file has another one, not when somebody shows one.
func (t *SharedToken) Follow(ctx context.Context) {
	if t == nil || t.file == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.Accepts(nil)
		case <-ctx.Done():
			return
		}
	}
}

// token is what somebody has to show, as a sum, and what was to be shown before. The zero value accepts nothing.
type token struct {
	text            string
	current, before *[sha256.Size]byte // nil if there is none
	until           time.Time          // when the one before ends to count
}

// renew takes the token that there is now.
func (t *token) renew(text string, now time.Time) {
	if text == t.text {
		return
	}
	sum := sha256.Sum256([]byte(text))
	t.before, t.until = t.current, now.Add(tokenGrace)
	t.text, t.current = text, &sum
}

// accepts says whether what was shown is the token, or was until a moment ago.
func (t *token) accepts(shown []byte, now time.Time) bool {
	if t.current == nil {
		return false
	}
	sum := sha256.Sum256(shown)
	same := subtle.ConstantTimeCompare(sum[:], t.current[:])
	if t.before != nil && now.Before(t.until) {
		same |= subtle.ConstantTimeCompare(sum[:], t.before[:])
	}
	return same == 1
}
