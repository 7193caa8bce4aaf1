package address

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// tables are the kernel's lists of TCP connections.
var tables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// unfinished are the states, as the kernel numbers them, in which something may still have to be said: established, being
// established, closed by us and not all of it confirmed, closed by the other side, both. Who is waiting for the other
// side to close too has said all.
var unfinished = []string{"01", "03", "04", "08", "09", "0B"}

// Here says whether this machine has an address now.
func Here(address netip.Addr) (bool, error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == address {
			return true, nil
		}
	}
	return false, err
}

// Connections are the far ends of the unfinished connections to ports of an address of this machine.
func Connections(address netip.Addr, ports []uint16) (ends []netip.AddrPort, err error) {
	for _, path := range tables {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		found, err := connections(string(text), address, ports)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		ends = append(ends, found...)
	}
	return ends, nil
}

// connections reads one of the kernel's lists.
func connections(table string, address netip.Addr, ports []uint16) (ends []netip.AddrPort, err error) {
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		fields := strings.Fields(line)
		if i == 0 {
			continue // the heading
		}
		if len(fields) < 4 {
			return nil, fmt.Errorf("line %d is %q", i+1, line)
		}
		local, err := readEnd(fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if local.Addr() != address || !slices.Contains(ports, local.Port()) || !slices.Contains(unfinished, fields[3]) {
			continue
		}
		remote, err := readEnd(fields[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		ends = append(ends, remote)
	}
	return ends, nil
}

// readEnd reads an address and a port as the kernel writes them: words of four bytes, each in the machine's own order,
// which on the machines that we know is the reverse.
func readEnd(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(host)
	if err != nil || len(bytes) != 4 && len(bytes) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for word := range slices.Chunk(bytes, 4) {
		slices.Reverse(word)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", text)
	}
	ip, _ := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), nil
}
