package server

import (
	"sync"
	"time"

	"zatoha/deploy/program"
	"zatoha/deploy/program/secretfile"
)

const tokenLook = time.Second // between two looks at the token's file

// sharedToken is the token that servers and connector hosts show each other. One that has changed in its file counts
// without a restart; a file without a good one changes nothing, and is told once.
type sharedToken struct {
	path   string // empty: it never changes
	notice func(error)

	mu       sync.Mutex
	text     string
	accepted program.Token
	looked   time.Time
	failing  bool
}

// token is what connectors must have, nil if there is none.
func (s *settings) token(notice func(error)) (*sharedToken, error) {
	token, err := program.GivenToken("--invoke-token", s.InvokeToken, s.InvokeTokenFile)
	if err != nil || token == "" {
		return nil, err
	}
	now := time.Now()
	shared := &sharedToken{path: s.InvokeTokenFile, notice: notice, text: token, looked: now}
	shared.accepted.Renew(token, now)
	return shared, nil
}

// shown is the token to show to others, empty if there is none.
func (t *sharedToken) shown() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(time.Now())
	return t.text
}

// accepts says whether somebody has the token, or had it until a moment ago.
func (t *sharedToken) accepts(given []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.look(now)
	return t.accepted.Accepts(given, now)
}

// look reads the file, if that was not done just now. t.mu is held.
func (t *sharedToken) look(now time.Time) {
	if t.path == "" || now.Sub(t.looked) < tokenLook {
		return
	}
	t.looked = now
	token, err := secretfile.Read(t.path)
	if err == nil {
		err = program.CheckToken(token)
	}
	if err != nil {
		if !t.failing {
			t.notice(err)
		}
		t.failing = true
		return
	}
	t.failing = false
	if t.accepted.Renew(token, now) {
		t.text = token
		t.notice(nil)
	}
}
