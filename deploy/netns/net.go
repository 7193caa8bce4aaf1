// Package netns makes a network of hosts on this machine, for tests of what happens when a host dies, a cable is pulled,
// or the network parts: each host is a set of namespaces of its own, with an interface eth0, a name, and its own view of
// the processes, joined to the others by a bridge that is in a namespace of its own too.
//
// One case, from start to end. A server runs on host a, and is asked from host b:
//
//	network, err := netns.New(ctx)
//	defer network.Close()
//	a, err := network.Add(ctx, "a") // 10.203.0.1
//	b, err := network.Add(ctx, "b") // 10.203.0.2
//	server, err := a.Start("server", "/tmp/server.log", os.Environ(), "/usr/bin/server", "--listen", "10.203.0.1:80")
//	conn, err := b.Dial(ctx, "tcp", "10.203.0.1:80")
//
// Then network.Partition("a") drops every packet between a and the others, network.Part(…) those between some hosts,
// network.Heal() lets them through again, a.Unplug() pulls the cable of a, a.Impair() makes it a bad one, and a.Dead()
// pulls it and kills whatever runs there, as a power cut would. a.Boot() makes an empty a again, with the address of
// before.
//
// All of it takes root, and `ip` and `nft`: see [Available]. None of it can be seen from outside: there are neither names
// nor files, two runs do not meet, and when the process that made the network ends, even by SIGKILL, the kernel removes
// the network and ends every process on it.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"zatoha/deploy/tools/find"
)

// ErrNotPermitted is wrapped by the error about a machine, or a user, that may have no namespaces.
var ErrNotPermitted = errors.New("networks of hosts in namespaces need root on Linux")

// subnet is where all addresses are from. No packet of it leaves its namespaces, so that it need not be free outside.
var subnet = netip.MustParsePrefix("10.203.0.0/24")

// Available says what is missing for a network; its error wraps [ErrNotPermitted] or [find.ErrMissing].
func Available(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: this is user %d", ErrNotPermitted, os.Geteuid())
	}
	_, ipErr := find.FindIP()
	_, nftErr := find.FindNFT()
	if err := errors.Join(ipErr, nftErr); err != nil {
		return err
	}
	s, err := newSpace(ctx, "available")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	s.end()
	return nil
}

// Net is a network. It belongs to one goroutine, but for [Host.Dial] and [Host.Do].
type Net struct {
	ip, nft string // programs
	hub     *space // has the bridge, and a port for each host
	hosts   []*Host
	spares  int
	groups  [][]string // hosts that are cut off
	cuts    []cut
}

// New makes a network without hosts.
func New(ctx context.Context) (*Net, error) {
	if err := Available(ctx); err != nil {
		return nil, err
	}
	n := &Net{}
	var err error
	if n.ip, err = find.FindIP(); err != nil {
		return nil, err
	}
	if n.nft, err = find.FindNFT(); err != nil {
		return nil, err
	}
	if n.hub, err = newSpace(ctx, "hub"); err != nil {
		return nil, fmt.Errorf("the network: %w", err)
	}
	if err := n.link(ctx, n.hub, "link add name bridge type bridge forward_delay 0 mcast_snooping 0", "link set dev bridge up"); err != nil {
		n.Close()
		return nil, fmt.Errorf("the network: %w", err)
	}
	return n, nil
}

// Close ends every process on every host, and then there is no network.
func (n *Net) Close() {
	for _, h := range n.hosts {
		if h.space != nil {
			h.space.end()
			h.space = nil
		}
	}
	n.hub.end()
}

// Add makes a host and plugs it in.
func (n *Net) Add(ctx context.Context, name string) (*Host, error) {
	if !properName(name) {
		return nil, fmt.Errorf("host %q: a name is 1 to 15 lower-case letters, digits and dashes, and begins with a letter", name)
	}
	if slices.ContainsFunc(n.hosts, func(h *Host) bool { return h.Name == name }) {
		return nil, fmt.Errorf("host %q: there is one already", name)
	}
	number := len(n.hosts) + 1
	if number+n.spares > 250 {
		return nil, fmt.Errorf("host %q: %s is full", name, subnet)
	}
	h := &Host{Name: name, Address: address(number), net: n, number: number}
	if err := h.Boot(ctx); err != nil {
		return nil, err
	}
	n.hosts = append(n.hosts, h)
	return h, nil
}

// Spare is an address that no host has, and that is given out once.
func (n *Net) Spare() netip.Addr {
	n.spares++
	return address(255 - n.spares)
}

// Bits is the length of the prefix that all addresses have.
func (*Net) Bits() int { return subnet.Bits() }

func address(number int) netip.Addr {
	bytes := subnet.Addr().As4()
	bytes[3] = byte(number)
	return netip.AddrFrom4(bytes)
}

// link runs commands of `ip` in the network of a space.
func (n *Net) link(ctx context.Context, s *space, commands ...string) error {
	_, err := s.run(ctx, s.enterNet, strings.Join(commands, "\n")+"\n", n.ip, "-batch", "-")
	return err
}

// Partition cuts a group of hosts off: they reach each other, and nobody else. Those that are cut off already stay so.
func (n *Net) Partition(ctx context.Context, hosts ...string) error {
	if err := n.known(hosts); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	n.groups = append(n.groups, hosts)
	return n.filter(ctx)
}

// Part lets no packet pass between one of some hosts and one of others. All of them reach whoever else they reached.
func (n *Net) Part(ctx context.Context, some, others []string) error {
	if err := n.known(slices.Concat(some, others)); err != nil {
		return fmt.Errorf("part: %w", err)
	}
	n.cuts = append(n.cuts, cut{some, others})
	return n.filter(ctx)
}

// known refuses hosts that are none.
func (n *Net) known(hosts []string) error {
	for _, name := range hosts {
		if !slices.ContainsFunc(n.hosts, func(h *Host) bool { return h.Name == name }) {
			return fmt.Errorf("there is no host %q", name)
		}
	}
	return nil
}

// Heal lets all packets through again, at once.
func (n *Net) Heal(ctx context.Context) error {
	n.groups, n.cuts = nil, nil
	for _, h := range n.hosts {
		h.lost = 0
		if err := h.delay(ctx, 0); err != nil {
			return err
		}
	}
	return n.filter(ctx)
}

func (n *Net) filter(ctx context.Context) error {
	var lossy []loss
	for _, h := range n.hosts {
		if h.lost > 0 {
			lossy = append(lossy, loss{h.Name, h.lost})
		}
	}
	_, err := n.hub.run(ctx, n.hub.enterNet, rules(n.groups, n.cuts, lossy), n.nft, "-f", "-")
	return err
}
