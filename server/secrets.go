package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"zatoha/server/channel"
	"zatoha/server/front"
)

// secrets resolves references to the environment and to files.
type secrets struct {
	env func(name string) (string, bool)
}

const longestSecret = 4096

var errEmptySecret = errors.New("what the reference names is empty")

// resolve is the secret itself. No error of it has a part of one.
func (s secrets) resolve(secret channel.Secret) (string, error) {
	source, name, reference := secret.Reference()
	if !reference {
		return secret.Reveal(), nil
	}
	value := ""
	switch source {
	case "env":
		found := false
		if value, found = s.env(name); !found {
			return "", fmt.Errorf("the environment of the server has no variable %s", name)
		}
	case "file":
		var err error
		if value, err = readSecret(name); err != nil {
			return "", err
		}
	default:
		return "", errors.New("a reference must be ${env:NAME} or ${file:/path}")
	}
	if value == "" {
		return "", errEmptySecret
	}
	return value, nil
}

// readSecret reads a file without the line end that editors leave. It reads ordinary files only: others may never end.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no ordinary file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, longestSecret+1))
	if err != nil {
		return "", err
	}
	if len(text) > longestSecret {
		return "", fmt.Errorf("%s has more than %d bytes", path, longestSecret)
	}
	return string(bytes.TrimRight(text, "\r\n")), nil
}

// guard makes the guard that a definition asks for, nil if it asks for none.
func (s secrets) guard(d channel.Definition) (*front.Guard, channel.Faults) {
	switch d.Security {
	case channel.BasicAuth:
		password, err := s.resolve(d.Password)
		if err != nil {
			return nil, channel.Faults{{Field: "password", What: err.Error()}}
		}
		return front.NewBasicAuth(d.Username, password), nil
	case channel.APIKey:
		key, err := s.resolve(d.APIKey)
		if err != nil {
			return nil, channel.Faults{{Field: "api_key", What: err.Error()}}
		}
		return front.NewAPIKey(key, d.Name), nil
	default:
		return nil, nil
	}
}
