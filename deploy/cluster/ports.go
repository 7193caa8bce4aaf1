package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// FreePorts finds n different TCP ports of the loopback address on which nobody listens now. The system gives none of them to
// somebody who connects, and no other call gets them, in whatever process, while this one lives: they are still free when
// they are first listened at, and when a program that was killed is started again.
func FreePorts(n int) ([]int, error) {
	const first, beyond, tries = 20_000, 32_000, 1000
	var ports []int
	for try := 0; len(ports) < n; try++ {
		port := first + rand.IntN(beyond-first)
		err := reserve(port)
		switch {
		case err == nil:
			ports = append(ports, port)
		case try > n+tries:
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
	}
	return ports, nil
}

// reserved holds what keeps others from the ports until this process ends: sockets in Linux's abstract namespace, which
// leave nothing behind.
var reserved struct {
	sync.Mutex
	sockets []net.Listener
}

// reserve takes a port, if it is free.
func reserve(port int) error {
	socket, err := net.Listen("unix", fmt.Sprintf("@zatoha/port/%d", port))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		_ = socket.Close()
		return err
	}
	reserved.Lock()
	defer reserved.Unlock()
	reserved.sockets = append(reserved.sockets, socket)
	return listener.Close()
}
