package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"zatoha/deploy/cluster"
)

// Host is one host of a network.
type Host struct {
	Name    string
	Address netip.Addr

	net    *Net
	number int
	space  *space // nil while it is dead

	delayed time.Duration // see Impair
	lost    int
}

var errDead = errors.New("the host is dead")

// Boot makes a host that is dead anew: with its name and its addresses, and without processes.
func (h *Host) Boot(ctx context.Context) error {
	if h.space != nil {
		return fmt.Errorf("boot %s: it runs", h.Name)
	}
	s, err := newSpace(ctx, h.Name)
	if err != nil {
		return fmt.Errorf("boot %s: %w", h.Name, err)
	}
	hub, hardware := h.net.hub, fmt.Sprintf("02:00:00:00:00:%02x", h.number)
	err = errors.Join(
		h.net.link(ctx, hub,
			fmt.Sprintf("link add name %s type veth peer name eth0 address %s netns %s", h.Name, hardware, s.path("net")),
			fmt.Sprintf("link set dev %s master bridge up", h.Name)),
		h.net.link(ctx, s, fmt.Sprintf("addr add %s/%d broadcast + dev eth0", h.Address, subnet.Bits()), "link set dev eth0 up"),
	)
	if err == nil {
		err = h.plugged(ctx)
	}
	if err != nil {
		s.end()
		return fmt.Errorf("boot %s: %w", h.Name, err)
	}
	h.space = s
	return nil
}

// plugged waits until the bridge forwards what the host sends, which is a moment after the cable is in.
func (h *Host) plugged(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		hub := h.net.hub
		port, err := hub.run(ctx, hub.enterNet, "", h.net.ip, "-details", "link", "show", "dev", h.Name)
		if err != nil || strings.Contains(port, "bridge_slave state forwarding") && strings.Contains(port, "LOWER_UP") {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the bridge does not forward: %w: %s", ctx.Err(), port)
		case <-tick.C:
		}
	}
}

// Dead ends the host as a power cut would: its link goes down, and then every process on it is gone at once.
func (h *Host) Dead(ctx context.Context) error {
	if h.space == nil {
		return nil
	}
	// Its end of the cable goes with the host, when the kernel gets to it; ours goes first, so that it is gone for certain.
	if err := h.net.link(ctx, h.net.hub, "link set dev "+h.Name+" down", "link del dev "+h.Name); err != nil {
		return err
	}
	h.space.end()
	h.space, h.delayed = nil, 0
	return nil
}

// Unplug pulls the host's cable: its interface has no carrier, and its processes go on.
func (h *Host) Unplug(ctx context.Context) error {
	return h.net.link(ctx, h.net.hub, "link set dev "+h.Name+" down")
}

// Plug puts the cable in again.
func (h *Host) Plug(ctx context.Context) error {
	if err := h.net.link(ctx, h.net.hub, "link set dev "+h.Name+" up"); err != nil {
		return err
	}
	return h.plugged(ctx)
}

// Alive says whether the host runs.
func (h *Host) Alive() bool { return h.space != nil }

// Start starts a program on the host, as those of a cluster are started. Its path is absolute.
func (h *Host) Start(name, log string, env []string, binary string, args ...string) (*cluster.Process, error) {
	if h.space == nil {
		return nil, fmt.Errorf("start %s on %s: %w", name, h.Name, errDead)
	}
	return cluster.StartWithin(h.space.enter, name, log, env, binary, args...)
}

// Enter brings the calling thread to the host for good, and what it starts: see [cluster.StartWithin].
func (h *Host) Enter() error {
	if h.space == nil {
		return fmt.Errorf("enter %s: %w", h.Name, errDead)
	}
	return h.space.enter()
}

// Command runs a program on the host to its end, in ten seconds at most, and returns what it prints.
func (h *Host) Command(ctx context.Context, words ...string) (string, error) {
	if h.space == nil {
		return "", fmt.Errorf("run %s on %s: %w", words[0], h.Name, errDead)
	}
	output, err := h.space.run(ctx, h.space.enter, "", words...)
	if err != nil {
		return "", fmt.Errorf("on %s: %w", h.Name, err)
	}
	return output, nil
}

// Do calls a function from the host's network: sockets that it opens are the host's, for as long as they live. What the
// function leaves to other goroutines is not.
func (h *Host) Do(do func() error) error {
	s := h.space
	if s == nil {
		return fmt.Errorf("on %s: %w", h.Name, errDead)
	}
	return on(s.enterNet, do)
}

// Dial connects from the host to an IP address, as [net.Dialer] does.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens at an address of the host.
func (h *Host) Listen(network, address string) (listener net.Listener, err error) {
	err = h.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ListenPacket is [Host.Listen] for what has no connections.
func (h *Host) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// HTTP is a client on the host that keeps no connections.
func (h *Host) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true}}
}

// Has says whether the host has an address now, be it its own or a virtual one.
func (h *Host) Has(address netip.Addr) (has bool) {
	_ = h.Do(func() error { // who is dead has none
		all, err := net.InterfaceAddrs()
		for _, a := range all {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == address {
				has = true
			}
		}
		return err
	})
	return has
}
