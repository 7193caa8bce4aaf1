package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"

	"zatoha/connectorhost/connector"
	"zatoha/deploy/program"
)

// shared is what children get besides their definitions. A token that has changed in its file counts without a restart.
func (s *settings) shared(token string) (json.RawMessage, error) {
	// A child gives back what is unfinished before its parent loses patience with it.
	return json.Marshal(shared{InvokeURL: s.InvokeURL, Token: token, Timeout: s.InvokeTimeout, Drain: s.DrainTimeout / 4 * 3})
}

// reference is the token for children, as the text of a connector.Secret: a reference to the file, the token itself, or
// nothing.
func (s *settings) reference() (string, error) {
	if s.InvokeTokenFile == "" {
		if connector.NewSecret(s.InvokeToken).Shape("") != s.InvokeToken {
			return "", program.BadConfig("--invoke-token", "the token has ${ in it", "make one by: openssl rand -hex 32")
		}
		return s.InvokeToken, nil
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

// bearer is the token that a request shows, nil if it shows none.
func bearer(r *http.Request) []byte {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	return []byte(strings.TrimSpace(token))
}
