package program

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// TokenGrace is for how long a token is accepted behind its exchange for another one: those who show it do not all read theirs at once.
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
