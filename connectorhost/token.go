package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/deploy/program"
)

// shared is what children get besides their definitions. A token that has changed in its file counts without a restart.
func (s *settings) shared(token string) (json.RawMessage, error) {
	// A child gives back what is unfinished before its parent loses patience with it.
	return json.Marshal(shared{InvokeURL: s.InvokeURL, Token: token, Timeout: s.InvokeTimeout, Drain: s.DrainTimeout / 4 * 3})
}

// token is the text of a connector.Secret: a reference to the file, the token itself, or nothing.
func (s *settings) token() (string, error) {
	token, err := program.GivenToken("--invoke-token", s.InvokeToken, s.InvokeTokenFile)
	if err != nil || s.InvokeTokenFile == "" {
		if connector.NewSecret(token).Shape("") != token {
			err = program.BadConfig("--invoke-token", "the token has ${ in it", "make one by: openssl rand -hex 32")
		}
		return token, err
	}
	path, err := filepath.Abs(s.InvokeTokenFile)
	if err == nil && strings.Contains(path, "}") {
		err = errors.New(path + " has a } in its name")
	}
	if err != nil {
		return "", program.BadConfig("--invoke-token-file", err.Error(), "name another file, by its absolute path")
	}
	return "${file:" + path + "}", nil
}

// tokenGuard compares tokens. One that has changed in its file counts within a second, and the one before it for a minute
// more, as those who show it do not all read theirs at once. The last good one stays for as long as the file has none.
type tokenGuard struct {
	secret  connector.Secret
	changed func(error) // is told of each new token by nil, and once of each reason why there is none

	mu       sync.Mutex
	accepted program.Token
	fault    string // why there is none now
}

const tokenEvery = time.Second

// check says whether there is a token, and whether a header has the same one.
func (g *tokenGuard) check(authorization string) (set, same bool, err error) {
	if g.secret.IsZero() {
		return false, false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.accepted.Known() {
		if err := g.look(time.Now()); err != nil {
			return true, false, err
		}
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	match := g.accepted.Accepts([]byte(strings.TrimSpace(token)), time.Now())
	return true, strings.EqualFold(scheme, "Bearer") && match, nil
}

// follow looks at the token every second until ctx ends, whether somebody asks or not: else nobody knew when it has
// changed.
func (g *tokenGuard) follow(ctx context.Context) {
	ticker := time.NewTicker(tokenEvery)
	defer ticker.Stop()
	for !g.secret.IsZero() {
		select {
		case <-ticker.C:
			g.mu.Lock()
			_ = g.look(time.Now()) // whom it concerns has been told
			g.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// look looks the token up. What is too short to be one would let in whoever guesses it, or shows none.
func (g *tokenGuard) look(now time.Time) error {
	token, err := g.secret.Reveal()
	if err == nil {
		err = program.CheckToken(token)
	}
	if err != nil {
		if news := g.fault != err.Error(); news && g.accepted.Known() {
			g.tell(fmt.Errorf("the token cannot be read again, the last one stays in use: %w", err))
		}
		g.fault = err.Error()
		return err
	}
	known := g.accepted.Known()
	if another := g.accepted.Renew(token, now); another || known && g.fault != "" {
		g.tell(nil)
	}
	g.fault = ""
	return nil
}

func (g *tokenGuard) tell(err error) {
	if g.changed != nil {
		g.changed(err)
	}
}
