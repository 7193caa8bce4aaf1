package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zatoha/connectorhost/supervise"
	"zatoha/consul"
	"zatoha/deploy/program"
)

// maxDefinition is more than Consul keeps under one key.
const maxDefinition = 1 << 20

// parsed is a definition that was accepted.
type parsed struct {
	supervise.Definition
	about  traits
	active bool
}

// heading is what the definitions of all kinds have.
type heading struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	IsActive *bool  `json:"is_active"`
}

// parse accepts a connector's definition, or says everything that is wrong with it. A name that is not empty is the one
// that the definition has to have.
func parse(text []byte, name string) (parsed, error) {
	head, err := readHeading(text)
	if err != nil {
		return parsed{}, err
	}
	about, err := head.judge(text, name)
	if err != nil {
		return parsed{}, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return parsed{}, err
	}
	sum := sha256.Sum256(compact.Bytes())
	return parsed{
		Definition: supervise.Definition{
			Name: head.Name, Kind: head.Kind, JSON: compact.Bytes(), Hash: hex.EncodeToString(sum[:8]), Beside: about.Beside,
		},
		about:  about,
		active: head.IsActive == nil || *head.IsActive,
	}, nil
}

func readHeading(text []byte) (h heading, err error) {
	if len(text) > maxDefinition {
		return h, fmt.Errorf("has %d bytes, more than %d", len(text), maxDefinition)
	}
	err = json.Unmarshal(text, &h)
	if fault, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && fault.Field != "" {
		return h, fmt.Errorf("%s: is a %s, want a %s", fault.Field, fault.Value, fault.Type)
	}
	if err != nil {
		return h, fmt.Errorf("is not a JSON object: %w", err)
	}
	return h, nil
}

// judge has the kind read the whole definition, and reports every fault at once.
func (h heading) judge(text []byte, name string) (about traits, err error) {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse(!program.ValidName(h.Name), "name: %q: %s", h.Name, program.NameRule)
	refuse(name != "" && h.Name != name, "name: %q: the key says %q, and both must be the same", h.Name, name)
	kind, known := kinds[h.Kind]
	refuse(!known, "kind: %q: must be one of those that this program was built with: %s", h.Kind, kindNames())
	if known {
		if about, err = kind.Read(text); err != nil {
			faults = append(faults, err)
		}
	}
	return about, errors.Join(faults...)
}

// refusal is a definition that was not accepted.
type refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Kept   bool   `json:"kept"` // the last good definition of that name stays in force
}

// catalog is what the definitions under the cluster's prefix come to.
type catalog struct {
	read    bool              // at least once
	good    map[string]parsed // by name, the last good one of each key that is there
	refused []refusal
}

// reread makes the next catalog of the pairs that there are now. A definition that is refused leaves the last good one in
// force.
func (c catalog) reread(prefix string, pairs []consul.Pair) catalog {
	next := catalog{read: true, good: map[string]parsed{}}
	for _, pair := range pairs {
		name := strings.TrimPrefix(pair.Key, prefix)
		if name == "" || strings.HasSuffix(name, "/") {
			continue // a folder, as Consul's UI makes them
		}
		definition, err := parse(pair.Value, name)
		if err == nil {
			next.good[name] = definition
			continue
		}
		last, kept := c.good[name]
		if kept {
			next.good[name] = last
		}
		reason := strings.ReplaceAll(err.Error(), "\n", "; ")
		next.refused = append(next.refused, refusal{Name: name, Reason: reason, Kept: kept})
	}
	return next
}

// active are the definitions that are to run here, by name.
func (c catalog) active() []supervise.Definition {
	var all []supervise.Definition
	for _, definition := range c.good {
		if definition.active && !definition.about.InServers {
			all = append(all, definition.Definition)
		}
	}
	slices.SortFunc(all, func(a, b supervise.Definition) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// elsewhere is a connector that this host does not run.
type elsewhere struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// inServers are the connectors that each server runs for itself, by name.
func (c catalog) inServers() []elsewhere {
	all := []elsewhere{}
	for _, definition := range c.good {
		if definition.active && definition.about.InServers {
			all = append(all, elsewhere{definition.Name, definition.Kind})
		}
	}
	slices.SortFunc(all, func(a, b elsewhere) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
