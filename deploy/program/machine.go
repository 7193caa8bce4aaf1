package program

import (
	"cmp"
	"net"
)

// machineAddress is the first address of the machine that others may reach, IPv4 before IPv6, else a loopback address.
func machineAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	var v4, v6 string
	for _, a := range addresses {
		network, ok := a.(*net.IPNet)
		switch {
		case !ok || !network.IP.IsGlobalUnicast():
		case network.IP.To4() != nil:
			v4 = cmp.Or(v4, network.IP.String())
		default:
			v6 = cmp.Or(v6, network.IP.String())
		}
	}
	return cmp.Or(v4, v6, "127.0.0.1")
}
