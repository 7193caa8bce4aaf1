package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/supervise"
)

// kind is one way to connect: to AMQP brokers, say.
type kind struct {
	// Validate reports every fault of a definition, by field.
	Validate func(definition json.RawMessage) error
	// Work serves one connector, in a process of its own.
	Work func(ctx context.Context, job *supervise.Job, log zerolog.Logger) error
	// Beside says that a new one can be prepared while the one that it replaces still runs.
	Beside bool
}

// kinds are all that this program was built with, by the name that a definition gives as its "kind".
var kinds = map[string]kind{}

func kindNames() string {
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
}

// serve is the work of a child.
func serve(ctx context.Context, job *supervise.Job, log zerolog.Logger) error {
	kind, known := kinds[job.Definition.Kind]
	if !known { // the parent, which is the same program, has checked that
		return supervise.Permanent(fmt.Errorf("the kind %q is unknown", job.Definition.Kind))
	}
	return kind.Work(ctx, job, log)
}
