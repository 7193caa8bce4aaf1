package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	_ "zatoha/connectorhost/amqp"
	"zatoha/connectorhost/connector"
	_ "zatoha/connectorhost/ibmmq"
	"zatoha/connectorhost/supervise"
	"zatoha/connectorhost/zmq"
	"zatoha/deploy/program"
)

// kind is one way to connect: to AMQP brokers, say.
type kind struct {
	// Read reports every fault of a definition, by field, and says what the host has to know of a good one.
	Read func(definition json.RawMessage) (traits, error)
	// Work serves one connector, in a process of its own.
	Work func(ctx context.Context, job *supervise.Job, log zerolog.Logger) error
}

// traits are what the host knows of a connector beside its name and kind.
type traits struct {
	Beside    bool // a new one can be prepared while the one that it replaces still runs
	Outgoing  bool // it takes messages from services
	InServers bool // each server runs it for itself, and this host does not
}

// kinds are all that this program was built with, by the name that a definition gives as its "kind": those of the
// packages that are imported above, which have registered themselves.
var kinds = registered()

func registered() map[string]kind {
	all := map[string]kind{}
	for _, name := range connector.Kinds() {
		all[name] = kind{Read: readConnector, Work: workConnector}
	}
	return all
}

// readConnector reads a definition by the common rules and its kind's. What is wrong with its name has been said.
func readConnector(text json.RawMessage) (traits, error) {
	d, err := connector.Decode(text)
	if bad, ok := errors.AsType[*connector.DefinitionError](err); ok {
		var faults []error
		for _, fault := range bad.Faults {
			if fault.Field != "name" || program.ValidName(bad.Name) {
				faults = append(faults, errors.New(fault.String()))
			}
		}
		return traits{}, errors.Join(faults...)
	}
	if err != nil {
		return traits{}, err
	}
	return traits{
		Beside: d.Settings.Capabilities().Prepare, Outgoing: d.Role == connector.Outgoing, InServers: zmq.InServers(d),
	}, nil
}

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
