package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// newLink makes a connection between this process and a child that inherits the other end. Nobody else can reach it, and
// it ends with either of them.
func newLink() (ours net.Conn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(ends[0])
		syscall.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("a connection to a child: %w", err)
	}
	theirs = os.NewFile(uintptr(ends[1]), "link")
	if ours, err = openLink(ends[0]); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// openLink makes a connection of a descriptor, which belongs to it from then on.
func openLink(descriptor int) (net.Conn, error) {
	file := os.NewFile(uintptr(descriptor), "link")
	defer file.Close() // the connection has one of its own
	return net.FileConn(file)
}
