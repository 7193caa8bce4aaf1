package find

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// rabbitMQ are the patterns under which RabbitMQ's own start script is found. The rabbitmq-server that Debian has in
// PATH is no use: it changes to the user rabbitmq and the folders of the system's service.
var rabbitMQ = []string{
	"/usr/lib/rabbitmq/bin/rabbitmq-server",
	"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
	"/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
	"/opt/rabbitmq/sbin/rabbitmq-server",
}

// FindRabbitMQ returns the path of RabbitMQ's own start script. The error wraps [ErrMissing] if there is none. Its
// version is not asked, which would take a second.
func FindRabbitMQ() (path string, err error) {
	for _, pattern := range rabbitMQ {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for rabbitmq-server as %s: %w", pattern, err)
		}
		for i := len(found) - 1; i >= 0; i-- { // the newest, mostly
			if path, err := exec.LookPath(found[i]); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf(`rabbitmq-server %w as %s: run "go run ./deploy/tools rabbitmq-server" to install it`,
		ErrMissing, strings.Join(rabbitMQ, " or "))
}
