package takeover

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// glance is how many milliseconds the end of a process is waited for before the context is looked at. There are many.
const glance = 1000

// gone returns nil as soon as a process has ended, be it buried or not; an error if ctx ends first.
func gone(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
	}
	defer unix.Close(fd)
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		n, err := unix.Poll(polled, glance)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("poll", err))
		case n > 0:
			return nil
		}
	}
	return ctx.Err()
}
