package program

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"zatoha/deploy/program/secretfile"
)

const shortestToken = 16

// CheckToken refuses a token so short that it may be guessed.
func CheckToken(token string) error {
	if len(token) < shortestToken {
		return fmt.Errorf("the token has less than %d characters", shortestToken)
	}
	return nil
}

// GivenToken is the token that stands in one of two flags, or in the file that the other one, of the same name with -file
// behind it, names; empty if there is neither. The error is a [ConfigError].
func GivenToken(flag, token, file string) (string, error) {
	switch {
	case file == "" && token == "":
		return "", nil
	case file != "" && token != "":
		return "", BadConfig(flag+"-file", "there is "+flag+" too", "give one of them")
	case file != "":
		flag += "-file"
		var err error
		if token, err = secretfile.Read(file); err != nil {
			return "", BadConfig(flag, err.Error(), "name a file that this user can read, with the token in it")
		}
	}
	if err := CheckToken(token); err != nil {
		return "", BadConfig(flag, err.Error(), "make one by: openssl rand -hex 32")
	}
	return token, nil
}

// TokenGrace is for how long a token is accepted behind its exchange for another one: those who show it do not all read
// theirs at once.
const TokenGrace = time.Minute

// Token is what somebody has to show, as a sum. The zero value accepts nothing. It belongs to one goroutine at a time.
type Token struct {
	current, before *[sha256.Size]byte // nil if there is none
	until           time.Time          // when the one before ends to count
}

// Known says whether there is a token yet.
func (t *Token) Known() bool { return t.current != nil }

// Renew takes the token that there is now, and says whether it is another one than before. The first is none.
func (t *Token) Renew(token string, now time.Time) (another bool) {
	sum := sha256.Sum256([]byte(token))
	switch {
	case t.current == nil:
		t.current = &sum
	case *t.current != sum:
		t.current, t.before, t.until = &sum, t.current, now.Add(TokenGrace)
		return true
	}
	return false
}

// Accepts says whether what was shown is the token, or was until a moment ago. It takes as long whatever was shown.
func (t *Token) Accepts(shown []byte, now time.Time) bool {
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
