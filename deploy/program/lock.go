package program

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrLocked says that another process has a file.
var ErrLocked = errors.New("another process has it")

// Lock takes a file for as long as this process lives, or until unlocked. It is made if the flags have os.O_CREATE.
func Lock(path string, flags int) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|flags, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w: %w", path, ErrLocked, err)
	}
	return func() { file.Close() }, nil
}
