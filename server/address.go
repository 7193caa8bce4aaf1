package server

import (
	"net"
	"strconv"

	"zatoha/consul"
	"zatoha/deploy/program"
)

// registration is how Consul shall know a server that listens at an address.
func (s *settings) registration(listening net.Addr, channels int) (consul.Registration, error) {
	address, id := program.Advertised(listening, s.Advertise), s.ID
	if id == "" {
		var err error
		if id, err = program.InstanceID(s.Service, address.Port()); err != nil {
			return consul.Registration{}, err
		}
	}
	return consul.Registration{
		ID: id, Name: s.Service, Address: address.Host(), Port: address.Port(),
		Tags: s.Tags, Meta: s.meta(channels),
		Check: &consul.HTTPCheck{
			URL:                     "http://" + string(address) + pingPath,
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
		consul.VersionMeta:  program.Version(),
		consul.ServicesMeta: s.services.Hash(),
		consul.ChannelsMeta: strconv.Itoa(channels),
	}
}
