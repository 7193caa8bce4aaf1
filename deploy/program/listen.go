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

// Listener is where something listens, by the flag that says so; with an empty address, nowhere.
type Listener struct {
	Flag    string
	Address HostPort
}

// Distinct refuses listeners of one machine that a connection could be to both of, each pair by a [ConfigError]: the
// second could not listen, or, where HAProxy has both, which lets them share, clients would be answered by either. Host
// names are compared as they are written, and not looked up.
func Distinct(listeners ...Listener) error {
	var faults []error
	for i, one := range listeners {
		for _, other := range listeners[:i] {
			if one.Address.meets(other.Address) {
				faults = append(faults, BadConfig(one.Flag, fmt.Sprintf("%s is taken by %s %s", one.Address, other.Flag, other.Address), "choose another port"))
			}
		}
	}
	return errors.Join(faults...)
}
