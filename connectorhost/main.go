// Program connectorhost runs the connectors of a cluster: one copy of each, on one host, though there is a connector
// host on every machine.
//
// One life, from start to end: `connectorhost` registers itself in Consul, tagged standby, and competes for the lease
// in the key zato/main/connector-server. It wins: it is tagged active, reads the definitions under
// zato/main/connectors/, and runs each as a child process. A definition changes: that one connector is replaced, the
// others do not notice. The machine loses its network: the children are gone before another host can win the lease. At
// SIGTERM it finishes what its connectors have in hand, releases the lease, which wakes another host at once,
// deregisters, and exits with status 0.
package main

import (
	"os"

	"zatoha/deploy/program"
)

const (
	name        = "connectorhost"
	description = "Runs the connectors of a cluster, on one of its connector hosts at a time."
)

func main() { os.Exit(program.Main(name, description, commands(os.Args[1:]))) }

// commands is the grammar of a command line: that of a child, of which there are many, has nothing else to be made.
func commands(args []string) program.Grammar {
	if len(args) > 0 && args[0] == childName {
		return &childGrammar{}
	}
	return &grammar{}
}

type grammar struct {
	Run      runCommand      `cmd:"" default:"withargs" help:"Run a connector host (the default)."`
	Status   statusCommand   `cmd:"" help:"Show what the connector hosts do, as a table; exit status 1 if something is wrong."`
	Validate validateCommand `cmd:"" help:"Check a connector's definition, without Consul; exit status 2 if it is refused."`
	Move     moveCommand     `cmd:"" help:"Hand the connectors over to another host."`

	program.Common
}

type childGrammar struct {
	Child childCommand `cmd:"" help:"Run one connector; only for the connector host itself."`

	program.Common
}
