package server

import (
	"errors"
	"fmt"

	"zatoha/deploy/program/secretfile"
	"zatoha/server/channel"
	"zatoha/server/front"
)

// secrets resolves references to the environment and to files.
type secrets struct {
	env func(name string) (string, bool)
}

// resolve is the secret itself. No error of it has a part of one.
func (s secrets) resolve(secret channel.Secret) (string, error) {
	source, name, reference := secret.Reference()
	if !reference {
		return secret.Text(), nil
	}
	switch source {
	case "env":
		value, _ := s.env(name)
		if value == "" {
			return "", fmt.Errorf("the environment of the server has no variable %s, or an empty one", name)
		}
		return value, nil
	case "file":
		return secretfile.Read(name)
	default:
		return "", errors.New("a reference must be ${env:NAME} or ${file:/path}")
	}
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
