package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"zatoha/deploy/program"
	"zatoha/haproxy"
	"zatoha/haproxy/embedded"
)

// Fronts are the addresses at which this machine's HAProxy listens, by the flags that its configuration was made with.
type Fronts struct {
	Listen    program.HostPort `default:"0.0.0.0:11223" help:"Address of the HTTP front."`
	TLSListen program.HostPort `name:"tls-listen" placeholder:"ADDRESS" help:"Address of the HTTPS front."`
}

// Monitor is the URL of HAProxy's monitor as it is reached from this machine.
func (f Fronts) Monitor() string {
	return "http://" + string(f.Listen.Local()) + haproxy.AliveURI
}

// Listeners are the fronts by their flags, the plain one first.
func (f Fronts) Listeners() []program.Listener {
	listeners := []program.Listener{{Flag: "--listen", Address: f.Listen}}
	if f.TLSListen != "" {
		listeners = append(listeners, program.Listener{Flag: "--tls-listen", Address: f.TLSListen})
	}
	return listeners
}

func (f Fronts) ports() (ports []uint16) {
	for _, front := range f.Listeners() {
		ports = append(ports, uint16(front.Address.Port()))
	}
	return ports
}

// CheckVirtual refuses a virtual address that cannot be one, and each front that is not at all addresses of its family,
// by errors of the configuration. A front at another address looks well to keepalived on a machine where nobody answers
// at the virtual one. Of a front at the virtual address itself, the machine that does not have it would hear how another
// does. With the zero address, of who shares none, all is well.
func (f Fronts) CheckVirtual(virtual netip.Addr) error {
	if !virtual.IsValid() {
		return nil
	}
	if virtual.Zone() != "" || virtual.IsUnspecified() || virtual.Is4In6() {
		return program.BadConfig("--virtual-address", virtual.String()+" is no address that machines can share", "give the one that keepalived moves, like 10.0.0.100 or fd00::100")
	}
	all := "0.0.0.0"
	if virtual.Is6() {
		all = "::"
	}
	var faults []error
	for _, front := range f.Listeners() {
		if !covers(front.Address.Host(), virtual) {
			faults = append(faults, program.BadConfig(front.Flag, fmt.Sprintf("%s does not go with --virtual-address %s, which comes and goes", front.Address, virtual),
				"listen at all addresses, by "+net.JoinHostPort(all, strconv.Itoa(front.Address.Port()))))
		}
	}
	return errors.Join(faults...)
}

// covers says whether HAProxy at this host is at an address that may come any time. It takes no host and 0.0.0.0 for all
// addresses of IPv4, and :: for all of both.
func covers(host string, address netip.Addr) bool {
	all, err := netip.ParseAddr(host)
	return program.Unspecified(host) && (address.Is4() || err == nil && all.Is6())
}

// Place is this machine as one of those that can have the address, by the flags of a command about that.
type Place struct {
	Fronts
	VirtualAddress netip.Addr `required:"" placeholder:"IP" help:"The address, by the same flag that HAProxy's configuration was made with."`
}

// Validate is kong's hook.
func (p Place) Validate() error { return p.CheckVirtual(p.VirtualAddress) }

// Wishes are the flags of a command that gives the address away.
type Wishes struct {
	Turnover time.Duration `default:"65s" help:"Longest wait for the connections of the beginning to end: each does behind its next answer, or when it has been idle for HAProxy's --keep-alive-timeout."`
	Gate     time.Duration `default:"500ms" help:"Longest time for which nobody can connect, while the last requests are answered; who tries connects a second later."`
	Move     time.Duration `default:"5s" help:"Longest wait for another load balancer to take the address."`
	Force    bool          `help:"When the first two times are over, go on and cut the connections that are left."`
}

func (w Wishes) limits() Limits {
	limits := DefaultLimits()
	limits.Turnover, limits.Gate, limits.Move, limits.Force = w.Turnover, w.Gate, w.Move, w.Force
	return limits
}

// ErrCannotYield says that HAProxy's configuration was made without the flag that says which address is shared.
var ErrCannotYield = errors.New("HAProxy here cannot be told to close connections")

// Yield gives the address away, from the HAProxy behind a runtime socket; its error may be [ErrCannotYield].
func (p Place) Yield(ctx context.Context, socket string, files Files, wishes Wishes) (Outcome, error) {
	if able, err := embedded.Yields(ctx, socket); err != nil {
		return Outcome{}, err
	} else if !able {
		return Outcome{}, ErrCannotYield
	}
	front, err := p.front(ctx, socket, files)
	if err != nil {
		return Outcome{}, err
	}
	defer front.gate.Close()
	return Yield(ctx, front, wishes.limits())
}

// Resume undoes a yield, and what one that was killed has left.
func (p Place) Resume(ctx context.Context, socket string, files Files) error {
	front, err := p.front(ctx, socket, files)
	if err != nil {
		return err
	}
	defer front.gate.Close()
	return errors.Join(front.Shut(ctx, false), front.Announce(ctx, false), front.Give(false))
}

func (p Place) front(ctx context.Context, socket string, files Files) (*ownFront, error) {
	listeners, err := embedded.Listeners(ctx, socket, p.ports())
	if err != nil {
		return nil, err
	}
	return &ownFront{Place: p, socket: socket, files: files, gate: Gate{Address: p.VirtualAddress, Listeners: listeners}}, nil
}

// ownFront is HAProxy on this machine, as yielding sees it.
type ownFront struct {
	Place
	socket string
	files  Files
	gate   Gate
}

// Has looks at the addresses of the machine's interfaces.
func (f *ownFront) Has() (bool, error) { return Here(f.VirtualAddress) }

// Announce tells HAProxy.
func (f *ownFront) Announce(ctx context.Context, on bool) error {
	if !on {
		return embedded.Announce(ctx, f.socket, netip.Addr{})
	}
	return embedded.Announce(ctx, f.socket, f.VirtualAddress)
}

// Shut filters the packets to HAProxy's listeners.
func (f *ownFront) Shut(_ context.Context, shut bool) error { return f.gate.Shut(shut) }

// Open reads the kernel's list.
func (f *ownFront) Open() ([]netip.AddrPort, error) { return Connections(f.VirtualAddress, f.ports()) }

// Given looks for the mark of an earlier yield.
func (f *ownFront) Given() bool { return f.files.Yielded() }

// Give leaves a mark for who tells keepalived.
func (f *ownFront) Give(away bool) error { return f.files.SetYielded(away) }
