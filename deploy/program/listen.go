package program

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen listens at the address that a flag has given. An address that cannot be had is a [ConfigError].
func Listen(flag string, address HostPort) (net.Listener, error) {
	listener, err := net.Listen("tcp", string(address))
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, BadConfig(flag, fmt.Sprintf("%s is in use", address), "stop the program that has it, or choose another port")
	default:
		return nil, BadConfig(flag, err.Error(), "choose an address of this machine and a port that this user may open")
	}
}
