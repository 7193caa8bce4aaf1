package main

import (
	"os"
	"strings"

	"zatoha/haproxy"
)

// The state file is HAProxy's own account of its servers, as `show servers state` gives it. HAProxy takes a server's port
// from there, whatever its configuration says, so the file must have the port of the configuration that is loaded next:
// `edge config --write` puts it in, and the watch leaves it there, for HAProxy may still run on another.

// Fields of a server's line.
const (
	stateBackend = 1
	stateName    = 3
	statePort    = 18
)

// statePorts are the ports that a state file has, by cluster.
func statePorts(states string) map[string]string {
	ports := map[string]string{}
	for line := range strings.Lines(states) {
		if fields := strings.Fields(line); isServer(fields) {
			ports[fields[stateName]] = fields[statePort]
		}
	}
	return ports
}

// withPorts are the states with these ports, where there is one for a cluster.
func withPorts(states string, ports map[string]string) string {
	var changed strings.Builder
	for line := range strings.Lines(states) {
		fields := strings.Fields(line)
		if isServer(fields) && ports[fields[stateName]] != "" {
			fields[statePort] = ports[fields[stateName]]
			line = strings.Join(fields, " ") + "\n"
		}
		changed.WriteString(line)
	}
	return changed.String()
}

func isServer(fields []string) bool {
	return len(fields) > statePort && fields[stateBackend] == haproxy.EdgeBackend
}

// writeState puts a state file in place at one stroke.
func writeState(path, states string) error {
	next := path + ".next"
	if err := os.WriteFile(next, []byte(states), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}
