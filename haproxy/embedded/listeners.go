package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// handOver is the command by which a new HAProxy asks the old one for its sockets at a reload.
const handOver = "_getsocks\n"

// The limits of that conversation.
const (
	handOverTimeout = 5 * time.Second
	mostAtOnce      = 253 // descriptors that fit into a message
	mostWords       = 64 << 10
)

// Listeners are the descriptors of the sockets at which HAProxy listens by TCP at these ports, asked for at its runtime
// socket. They are HAProxy's own: what is done to them is done to it, and closing them here is not. They are no
// [os.File]s, which would make them block.
func Listeners(ctx context.Context, statsSocket string, ports []uint16) (listeners []int, err error) {
	all, err := askForSockets(ctx, statsSocket)
	if err != nil {
		return nil, fmt.Errorf("ask haproxy for its listening sockets: %w", err)
	}
	for _, fd := range all {
		if listensAt(fd, ports) {
			listeners = append(listeners, fd)
		} else {
			_ = unix.Close(fd) // somebody else's
		}
	}
	if len(listeners) == 0 {
		return nil, fmt.Errorf("ask haproxy for its listening sockets: %s: it listens at none of the ports %d", statsSocket, ports)
	}
	return listeners, nil
}

// askForSockets gets all descriptors: their number first, and then messages with some of them, each of which is
// confirmed.
func askForSockets(ctx context.Context, path string) (fds []int, err error) {
	conn, err := (&net.Dialer{Timeout: handOverTimeout}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handOverTimeout)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, handOver); err != nil {
		return nil, err
	}
	var number [4]byte
	if _, err := io.ReadFull(conn, number[:]); err != nil {
		return nil, fmt.Errorf("%s: it gives none away: %w", path, err)
	}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd) // of no use
			}
			fds = nil
		}
	}()
	words, rights := make([]byte, mostWords), make([]byte, unix.CmsgSpace(4*mostAtOnce))
	for count := int(binary.NativeEndian.Uint32(number[:])); len(fds) < count; {
		_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(words, rights)
		if err != nil {
			return fds, err
		}
		some, err := descriptors(rights[:n])
		fds = append(fds, some...)
		if err != nil {
			return fds, err
		}
		if len(some) == 0 {
			return fds, fmt.Errorf("%s: %d of %d have come", path, len(fds), count)
		}
		if len(fds) < count { // it waits for a word between two messages, and goes after the last one
			if _, err := conn.Write(number[:]); err != nil {
				return fds, err
			}
		}
	}
	return fds, nil
}

func descriptors(rights []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		some, err := unix.ParseUnixRights(&message)
		if err != nil && !errors.Is(err, unix.EINVAL) { // something other than descriptors
			return fds, err
		}
		for _, fd := range some {
			unix.CloseOnExec(fd)
		}
		fds = append(fds, some...)
	}
	return fds, nil
}

func listensAt(fd int, ports []uint16) bool {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return false
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	port := 0
	switch address := address.(type) {
	case *unix.SockaddrInet4:
		port = address.Port
	case *unix.SockaddrInet6:
		port = address.Port
	}
	for _, wanted := range ports {
		if port == int(wanted) {
			return true
		}
	}
	return false
}
