package find

import (
	"fmt"
	"os/exec"
)

// FindPromtool returns the path of Prometheus's promtool. The error wraps [ErrMissing] if there is none.
func FindPromtool() (path string, err error) { return ofPrometheus("promtool") }

// FindPrometheus returns the path of Prometheus, which comes with promtool. The error wraps [ErrMissing] if either is
// missing.
func FindPrometheus() (path string, err error) {
	if _, err := FindPromtool(); err != nil {
		return "", err
	}
	return ofPrometheus("prometheus")
}

func ofPrometheus(name string) (path string, err error) {
	if path, err = exec.LookPath(name); err != nil {
		return "", fmt.Errorf(`%s %w in PATH: run "go run ./deploy/tools prometheus" to install it`, name, ErrMissing)
	}
	return path, nil
}
