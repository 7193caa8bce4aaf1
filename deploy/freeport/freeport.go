// Package freeport finds ports for programs that are started beside others: in tests, in benchmarks and in the cluster
// that `make run` starts. A port that the system gives is not good for that: once it is given up, the next program that
// listens anywhere, or connects, may get it.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Some finds n different TCP ports of the loopback address on which nobody listens now. The system gives none of
// them to somebody who connects, and no other call gets them, in whatever process, while this one lives: they are still
// free when they are first listened at, and when a program that was killed is started again.
func Some(n int) ([]int, error) {
	var ports []int
	for range n {
		row, err := Row(1)
		if err != nil {
			return nil, err
		}
		ports = append(ports, row...)
	}
	return ports, nil
}

// Address is 127.0.0.1 with a port that [Some] has found.
func Address() (string, error) {
	ports, err := Some(1)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), nil
}

// Test is a *testing.T, or what it has of one.
type Test interface {
	Helper()
	Fatal(args ...any)
}

// For is an Address for a test, which fails if there is none.
func For(t Test) string {
	t.Helper()
	address, err := Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Row finds n ports as Some does, each one more than the one before.
func Row(n int) (ports []int, err error) {
	const first, beyond, tries = 20_000, 32_000, 1000
	for range tries {
		ports = nil
		for port := first + rand.IntN(beyond-first-n); len(ports) < n; port++ {
			if err = reserve(port); err != nil {
				break // what was reserved before stays so, to no harm
			}
			ports = append(ports, port)
		}
		if err == nil {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("finding %d free ports in a row: %w", n, err)
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
