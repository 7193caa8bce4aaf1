package supervise

import (
	"os"

	"golang.org/x/sys/unix"
)

// sharedMemory is a page of memory as a file without a name.
func sharedMemory() (*os.File, error) {
	descriptor, err := unix.MemfdCreate("zatoha-term", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(descriptor), "term")
	return file, file.Truncate(int64(os.Getpagesize()))
}
