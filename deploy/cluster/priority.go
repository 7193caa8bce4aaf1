package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ahead are the commands whose units in deploy/systemd have them go before whatever else a machine does. The
// HAProxy is that of an outer load balancer; within a cluster lb starts it, and it has the priority of lb.
var ahead = []string{"consul agent", "lb", "lb track", "edge track", "connectorhost", "haproxy"}

// AsUnit changes how a program is started, so that it has the priority that its unit gives it. Only root can do so: for
// others it changes nothing.
func AsUnit(binary string, args ...string) (string, []string) {
	command := filepath.Base(binary)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command += " " + args[0]
	}
	if !slices.Contains(ahead, command) {
		return binary, args
	}
	return Ahead(binary, args...)
}

// Ahead changes how a program is started, so that it has the priority of those: for one that stands in for one of them.
func Ahead(binary string, args ...string) (string, []string) {
	if os.Geteuid() != 0 {
		return binary, args
	}
	return "nice", append([]string{"-n", "-10", binary}, args...)
}
