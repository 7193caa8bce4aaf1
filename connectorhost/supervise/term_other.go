//go:build !linux

package supervise

import (
	"errors"
	"os"
)

// sharedMemory is a page of a file that has no name any more.
func sharedMemory() (*os.File, error) {
	file, err := os.CreateTemp("", "zatoha-term-")
	if err != nil {
		return nil, err
	}
	return file, errors.Join(os.Remove(file.Name()), file.Truncate(int64(os.Getpagesize())))
}
