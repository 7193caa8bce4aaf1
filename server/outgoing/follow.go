package outgoing

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/zmq"
	"zatoha/consul"
)

// TreeWatcher follows all keys under a prefix, as consul.Client does.
type TreeWatcher interface {
	WatchTree(ctx context.Context, prefix string, observe func(consul.TreeObservation))
}

// FollowDefinitions defines the ZeroMQ connections from the keys under a prefix, "zato/main/connectors/", until ctx ends.
// A definition that is refused leaves the last good one of its key in force, and the log says why. While Consul cannot
// tell, all stays.
func (s *Set) FollowDefinitions(ctx context.Context, watcher TreeWatcher, prefix string) {
	good := map[string]*connector.Definition{}
	watcher.WatchTree(ctx, prefix, func(o consul.TreeObservation) {
		if o.Err != nil {
			s.log.Warn("consul does not tell the connectors, keeping those that there are", "error", o.Err)
			return
		}
		var refused map[string]string
		good, refused = readDefinitions(o.Pairs, prefix, good)
		s.refuse(refused)
		s.Define(slices.Collect(maps.Values(good)))
	})
}

// readDefinitions decodes those of the keys that are about outgoing ZeroMQ, by key. Others are the connector host's.
func readDefinitions(pairs []consul.Pair, prefix string, last map[string]*connector.Definition) (good map[string]*connector.Definition, refused map[string]string) {
	good, refused = map[string]*connector.Definition{}, map[string]string{}
	for _, pair := range pairs {
		var about struct{ Kind, Role string }
		_ = json.Unmarshal(pair.Value, &about) // what is no JSON may have been one of ours
		before, had := last[pair.Key]
		ours := about.Kind == zmq.Kind && about.Role == string(connector.Outgoing)
		if !ours && (!had || json.Valid(pair.Value) && about.Kind != "" && about.Role != "") {
			continue
		}
		d, err := connector.Decode(pair.Value)
		name := strings.TrimPrefix(pair.Key, prefix)
		switch {
		case err == nil && d.Name == name:
			good[pair.Key] = d
			continue
		case err == nil:
			refused[name] = "name is " + d.Name + ", but the key ends with " + name + ": make them the same"
		default:
			refused[name] = err.Error()
		}
		if had {
			good[pair.Key] = before
		}
	}
	return good, refused
}

// refuse keeps what was refused and why, and logs what was not refused for the same reason before.
func (s *Set) refuse(refused map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, why := range refused {
		if s.refused[name] != why {
			s.log.Error("the definition of an outgoing zeromq connection is refused", "name", name, "error", why)
		}
	}
	s.refused = refused
}
