package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"zatoha/connectorhost/connector"
	"zatoha/deploy/program"
)

const (
	shortestToken = 16
	longestToken  = 4096
)

// shared is what children get besides their definitions. A token that has changed in its file counts without a restart.
func (s *settings) shared(token string) (json.RawMessage, error) {
	// A child gives back what is unfinished before its parent loses patience with it.
	return json.Marshal(shared{InvokeURL: s.InvokeURL, Token: token, Drain: s.DrainTimeout / 4 * 3})
}

// token is the text of a connector.Secret: a reference to the file, the token itself, or nothing.
func (s *settings) token() (string, error) {
	token, where := s.InvokeToken, "--invoke-token"
	if s.InvokeTokenFile != "" {
		if token != "" {
			return "", program.BadConfig("--invoke-token-file", "there is --invoke-token too", "give one of them")
		}
		where = "--invoke-token-file"
		path, err := filepath.Abs(s.InvokeTokenFile)
		if err != nil {
			return "", program.BadConfig(where, err.Error(), "")
		}
		value, err := readToken(path)
		if err != nil {
			return "", program.BadConfig(where, err.Error(), "give a file that this host can read")
		}
		return "${file:" + path + "}", acceptable(where, value)
	}
	if token == "" {
		return "", nil
	}
	if connector.NewSecret(token).Shape("") != token {
		return "", program.BadConfig(where, "the token has ${ in it", "make one by: openssl rand -hex 32")
	}
	return token, acceptable(where, token)
}

func acceptable(where, token string) error {
	if len(token) < shortestToken {
		return program.BadConfig(where, fmt.Sprintf("the token has less than %d characters", shortestToken), "make one by: openssl rand -hex 32")
	}
	return nil
}

// readToken reads an ordinary file; others may never end.
func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || strings.Contains(path, "}") {
		return "", errors.New(path + " is no ordinary file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, longestToken+1))
	if err == nil && len(text) > longestToken {
		err = fmt.Errorf("%s has more than %d bytes", path, longestToken)
	}
	return strings.TrimRight(string(text), "\r\n"), err
}

// tokenGuard compares tokens. One that has changed in its file counts after a second.
type tokenGuard struct {
	secret connector.Secret

	mu    sync.Mutex
	until time.Time
	sum   [sha256.Size]byte
}

// check says whether there is a token, and whether a header has the same one.
func (g *tokenGuard) check(authorization string) (set, same bool, err error) {
	if g.secret.IsZero() {
		return false, false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.After(g.until) {
		token, err := g.secret.Reveal()
		if err != nil {
			return true, false, err
		}
		g.sum, g.until = sha256.Sum256([]byte(token)), now.Add(time.Second)
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return true, strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1, nil
}
