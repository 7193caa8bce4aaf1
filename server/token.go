package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"zatoha/deploy/program"
)

const (
	tokenLook  = time.Second // between two looks at the token's file
	tokenGrace = time.Minute // for which the token before is accepted too: nobody exchanges all files at one stroke
)

// sharedToken is the token that servers and connector hosts show each other. One that has changed in its file counts
// without a restart; a file without a good one changes nothing, and is told once.
type sharedToken struct {
	path   string // empty: it never changes
	notice func(error)

	mu            sync.Mutex
	text          string
	sum, before   [sha256.Size]byte
	looked        time.Time
	previousUntil time.Time // before is accepted so long
	failing       bool
}

// token is what connectors must have, nil if there is none.
func (s *settings) token(notice func(error)) (*sharedToken, error) {
	token, where := s.InvokeToken, "--invoke-token"
	if s.InvokeTokenFile != "" {
		if token != "" {
			return nil, program.BadConfig("--invoke-token-file", "there is --invoke-token too", "give one of them")
		}
		where = "--invoke-token-file"
		var err error
		if token, err = readSecret(s.InvokeTokenFile); err != nil {
			return nil, program.BadConfig(where, err.Error(), "give a file that the server can read")
		}
	} else if token == "" {
		return nil, nil
	}
	if err := longEnough(token); err != nil {
		return nil, program.BadConfig(where, err.Error(), "make one by: openssl rand -hex 32")
	}
	return &sharedToken{
		path: s.InvokeTokenFile, notice: notice, text: token, sum: sha256.Sum256([]byte(token)), looked: time.Now(),
	}, nil
}

func longEnough(token string) error {
	if len(token) < shortestToken {
		return fmt.Errorf("the token has less than %d characters", shortestToken)
	}
	return nil
}

// shown is the token to show to others, empty if there is none.
func (t *sharedToken) shown() (string, error) {
	if t == nil {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(time.Now())
	return t.text, nil
}

// accepts says whether somebody has the token, or had it until a moment ago.
func (t *sharedToken) accepts(given []byte) bool {
	sum := sha256.Sum256(given)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.look(now)
	same := subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
	former := subtle.ConstantTimeCompare(sum[:], t.before[:]) == 1
	return same || former && now.Before(t.previousUntil)
}

// look reads the file, if that was not done just now. t.mu is held.
func (t *sharedToken) look(now time.Time) {
	if t.path == "" || now.Sub(t.looked) < tokenLook {
		return
	}
	t.looked = now
	token, err := readSecret(t.path)
	if err == nil {
		err = longEnough(token)
	}
	if err != nil {
		if !t.failing {
			t.notice(err)
		}
		t.failing = true
		return
	}
	t.failing = false
	if token == t.text {
		return
	}
	t.before, t.previousUntil = t.sum, now.Add(tokenGrace)
	t.text, t.sum = token, sha256.Sum256([]byte(token))
	t.notice(nil)
}
