package address

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Gate is in front of listening sockets of somebody else, which takes no privilege: only their descriptors, which HAProxy
// gives to whoever may use its runtime socket. It is a filter of the kernel that drops, at these sockets, the packets
// that open a connection to one address; all that belongs to a connection passes.
type Gate struct {
	Address   netip.Addr
	Listeners []int // descriptors
}

// Shut puts the gate up, or takes it away. To take away what is not there is no error.
func (g Gate) Shut(shut bool) error {
	program, err := dropNew(g.Address)
	if err != nil {
		return err
	}
	for _, fd := range g.Listeners {
		if shut {
			err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
		} else if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); errors.Is(err, unix.ENOENT) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("the gate in front of the virtual address: %w", os.NewSyscallError("setsockopt", err))
		}
	}
	return nil
}

// Close lets go of the listeners, and leaves the gate as it is.
func (g Gate) Close() error {
	var errs []error
	for _, listener := range g.Listeners {
		errs = append(errs, os.NewSyscallError("close", unix.Close(listener)))
	}
	return errors.Join(errs...)
}

// What the filter looks at, counted from the header of TCP, or of IP by the kernel's negative offset.
const (
	atIP     = 0xfff00000
	atV4To   = atIP + 16
	atV6To   = atIP + 24
	atFlags  = 13
	flagSYN  = 0x02
	passAll  = 0xffffffff
	passNone = 0
)

// dropNew is a program of the kernel's packet filter: a SYN to the address is dropped.
func dropNew(address netip.Addr) ([]unix.SockFilter, error) {
	if !address.IsValid() || address.Zone() != "" {
		return nil, fmt.Errorf("the virtual address %q is no IP address", address)
	}
	at, version := uint32(atV4To), uint32(0x40)
	if address.Is6() {
		at, version = atV6To, 0x60
	}
	words := address.AsSlice()
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: atIP},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: version},
	}
	for i := 0; i < len(words); i += 4 {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at + uint32(i)},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(words[i:])})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: atFlags},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: flagSYN},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: passNone},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: passAll})
	for i := range program { // who differs goes to the last line, which lets the packet pass
		if program[i].Code&0x07 == unix.BPF_JMP {
			program[i].Jf = uint8(len(program) - 1 - (i + 1))
		}
	}
	return program, nil
}
