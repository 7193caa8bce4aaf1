package program

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// NameRule says what [ValidName] wants.
const NameRule = "must be of letters, digits and . _ - and begin with one of the first two"

// ValidName says whether something may be called so that has keys or an ID in Consul, or a service of its own there.
func ValidName(name string) bool { return validName.MatchString(name) }

// HostPort is a flag type for a network address: "127.0.0.1:11223", "[::1]:11223", "name:11223", or ":11223" for all
// addresses of the machine. Empty means that none was given.
type HostPort string

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?$`)

// UnmarshalText accepts a host and a port from 1 to 65535.
func (a *HostPort) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return fmt.Errorf("%q: must be host:port, like 127.0.0.1:11223", text)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q: port must be 1..65535", text)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && !hostName.MatchString(host) {
		return fmt.Errorf("%q: host must be an IP address or a host name", text)
	}
	*a = HostPort(text)
	return nil
}

// Host is the part before the port, without brackets; empty for all addresses. The address has been parsed already.
func (a HostPort) Host() string {
	host, _, _ := net.SplitHostPort(string(a))
	return host
}

// Port is from 1 to 65535, or 0 for an empty address.
func (a HostPort) Port() int {
	_, port, _ := net.SplitHostPort(string(a))
	n, _ := strconv.Atoi(port)
	return n
}

// Local is where this machine reaches what listens there: the same, or by the loopback interface if that is all
// addresses.
func (a HostPort) Local() HostPort {
	if !Unspecified(a.Host()) {
		return a
	}
	return HostPort(net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port())))
}

// meets says whether a connection could be to both. 0.0.0.0 is taken for all addresses of IPv6 too, since Go listens at
// them for it.
func (a HostPort) meets(b HostPort) bool {
	if a.Port() == 0 || a.Port() != b.Port() {
		return false
	}
	return Unspecified(a.Host()) || Unspecified(b.Host()) || sameHost(a.Host(), b.Host())
}

func sameHost(a, b string) bool {
	one, err := netip.ParseAddr(a)
	other, otherErr := netip.ParseAddr(b)
	if err != nil || otherErr != nil {
		return strings.EqualFold(a, b)
	}
	return one.Unmap() == other.Unmap()
}

// Unspecified says whether a host stands for all addresses of the machine, as the empty one does.
func Unspecified(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// OnLoopback says whether only this machine can reach a host.
func OnLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Loopback is a [HostPort] that only this machine can reach.
type Loopback HostPort

// UnmarshalText accepts an address of the loopback interface.
func (a *Loopback) UnmarshalText(text []byte) error {
	var address HostPort
	if err := address.UnmarshalText(text); err != nil {
		return err
	}
	if !OnLoopback(address.Host()) {
		return errors.New(strconv.Quote(string(text)) + ": must be a loopback address, like 127.0.0.1:6060")
	}
	*a = Loopback(address)
	return nil
}
