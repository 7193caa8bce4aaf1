package program

import (
	"fmt"
	"os"
	"regexp"
)

var notInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// InstanceID is the ID in Consul of an instance of a service that was given none: the same after a restart, and no other
// of the machine has it.
func InstanceID(service string, port int) (string, error) {
	machine, err := os.Hostname()
	if err != nil {
		return "", BadConfig("--id", fmt.Sprintf("this machine has no name to make one of: %v", err), "give one")
	}
	return instanceID(service, machine, port), nil
}

func instanceID(service, machine string, port int) string {
	return notInID.ReplaceAllString(fmt.Sprintf("%s-%s-%d", service, machine, port), "-")
}
