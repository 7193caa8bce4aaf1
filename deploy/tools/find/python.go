package find

import (
	"context"
	"fmt"
	"os/exec"
)

// FindPythonZMQ returns the path of a Python 3 that has ZeroMQ by libzmq: the first in PATH that has it, else the
// system's, because that is for which the distribution's package python3-zmq is. The error wraps [ErrMissing] if there is
// none.
func FindPythonZMQ() (path string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	candidates := []string{"python3", "/usr/bin/python3"}
	for _, candidate := range candidates {
		path, err := exec.LookPath(candidate)
		if err != nil {
			continue
		}
		// -I keeps a folder named zmq that happens to be here from being taken for it.
		if exec.CommandContext(ctx, path, "-I", "-c", "import zmq; zmq.zmq_version()").Run() == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf(`python3 with the module zmq %w: run "go run ./deploy/tools python3-zmq" to install it`, ErrMissing)
}
