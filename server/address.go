package server

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"zatoha/consul"
	"zatoha/deploy/program"
)

// registration is how Consul shall know a server that listens at an address.
func (s *settings) registration(listening net.Addr, channels int) (consul.Registration, error) {
	host, port := s.Advertise.Host(), s.Advertise.Port()
	if s.Advertise == "" {
		address, err := netip.ParseAddrPort(listening.String())
		if err != nil {
			return consul.Registration{}, fmt.Errorf("listen address: %w", err)
		}
		host, port = address.Addr().String(), int(address.Port())
		if program.Unspecified(host) {
			host = program.MachineAddress()
		}
	}
	id := s.ID
	if id == "" {
		var err error
		if id, err = program.InstanceID(s.Service, port); err != nil {
			return consul.Registration{}, err
		}
	}
	return consul.Registration{
		ID: id, Name: s.Service, Address: host, Port: port,
		Meta: s.meta(channels),
		Check: &consul.HTTPCheck{
			URL:                     "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + pingPath,
			Interval:                s.CheckInterval,
			Timeout:                 s.CheckInterval,
			DeregisterCriticalAfter: s.DeregisterAfter,
			InitialStatus:           consul.Passing, // the self-check has passed
		},
	}, nil
}

// meta is what Consul shall show of a server with so many active channels.
func (s *settings) meta(channels int) map[string]string {
	return map[string]string{
		"version":       program.Version(),
		"services_hash": s.services.Hash(),
		"channels":      strconv.Itoa(channels),
	}
}

// reachable is where this machine reaches a listener of its own.
func reachable(listening net.Addr) string {
	address, err := netip.ParseAddrPort(listening.String())
	if err != nil || !address.Addr().IsUnspecified() {
		return listening.String()
	}
	return net.JoinHostPort("localhost", strconv.Itoa(int(address.Port())))
}
