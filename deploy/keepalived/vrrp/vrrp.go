// Package vrrp writes the configuration of keepalived for load balancers that share a virtual address: one file for each,
// purely, from what they have in common.
//
// One case. Load balancers a at 10.0.0.1 and b at 10.0.0.2 share 10.0.0.100. Config.File("a") has one VRRP instance,
// which sends its adverts to 10.0.0.2 alone, and holds 10.0.0.100 as long as nobody is better. How good a is, keepalived
// reads from the file that `lb track` writes. Both have the same priority to begin with: whoever comes back leaves the
// address where it is.
package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Node is a load balancer.
type Node struct {
	Name    string
	Address netip.Addr // its own, at which the others reach it
}

// Config is what all have in common. Use [Default] and change what differs.
type Config struct {
	Nodes     []Node
	Virtual   netip.Prefix  // the address that they share: one, which `lb yield` can move without a failed request
	Interface string        // of each node, that has its own address and gets the virtual one
	RouterID  int           // 1..255: another one for each group on the same network
	Advert    time.Duration // between two signs of life; after about 3.6 of these without one, another takes over
	Track     string        // the file that `lb track` writes
	Probe     string        // a command line, run every three seconds, that fails if HAProxy does not answer; "" for none
	User      string        // that runs it

	// Outer says that the nodes are outer load balancers, in front of whole clusters, and that `edge track` writes the file.
	Outer bool
}

// Default is a config without nodes and an address.
func Default() Config {
	return Config{
		Interface: "eth0", RouterID: 51, Advert: 200 * time.Millisecond,
		Track: "/var/lib/zatoha/lb/track", Probe: "/usr/bin/zatoha-lb probe", User: "zatoha",
	}
}

// DefaultOuter is that for outer load balancers.
func DefaultOuter() Config {
	c := Default()
	c.Outer, c.Track, c.Probe = true, "/var/lib/zatoha-edge-track/track", "/usr/bin/zatoha-edge probe"
	return c
}

// Priority is that of each node, to which keepalived adds the number in the track file.
const Priority = 100

// The limits of what VRRP can say: it counts adverts in hundredths of a second, with twelve bits.
const (
	centisecond   = 10 * time.Millisecond
	longestAdvert = 40 * time.Second
)

var (
	nodeName      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)
	path          = regexp.MustCompile(`^/[A-Za-z0-9._/-]+$`)
	commandLine   = regexp.MustCompile(`^/[A-Za-z0-9._/:=, -]+$`)
	userName      = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

// Validate says everything that is wrong, by the names of the program's flags.
func (c Config) Validate() error {
	var faults []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	refuse(len(c.Nodes) < 2, "--node: there are %d: name at least two, like --node a=10.0.0.1 --node b=10.0.0.2", len(c.Nodes))
	refuse(!c.Virtual.IsValid(), "--virtual: name the address that the nodes share, like --virtual 10.0.0.100/24")
	v4 := len(c.Nodes) > 0 && c.Nodes[0].Address.Is4()
	for i, node := range c.Nodes {
		refuse(!nodeName.MatchString(node.Name), "--node %s=%s: a name has letters, digits, dots and dashes", node.Name, node.Address)
		refuse(!usable(node.Address), "--node %s=%s: must be an address at which the others reach it", node.Name, node.Address)
		refuse(node.Address.Is4() != v4, "--node %s=%s: all must be IPv4, or all IPv6", node.Name, node.Address)
		for _, other := range c.Nodes[:i] {
			refuse(other.Name == node.Name, "--node %s=%s: there is another of that name", node.Name, node.Address)
			refuse(other.Address == node.Address, "--node %s=%s: %s has that address", node.Name, node.Address, other.Name)
		}
	}
	if virtual := c.Virtual; virtual.IsValid() {
		refuse(!usable(virtual.Addr()), "--virtual %s: must be an address for clients, with the length of its network's prefix", virtual)
		refuse(virtual.Addr().Is4() != v4, "--virtual %s: must be of the nodes' family", virtual)
		refuse(slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.Address == virtual.Addr() }), "--virtual %s: is the own address of a node", virtual)
	}
	refuse(!interfaceName.MatchString(c.Interface), "--interface %q: must be the name of a network interface, like eth0", c.Interface)
	refuse(c.RouterID < 1 || c.RouterID > 255, "--router-id %d: must be 1..255", c.RouterID)
	refuse(c.Advert < centisecond || c.Advert > longestAdvert || c.Advert%centisecond != 0, "--advert %v: must be 10ms..40s, in steps of 10ms", c.Advert)
	refuse(!path.MatchString(c.Track), "--track %q: must be an absolute path, without spaces", c.Track)
	refuse(c.Probe != "" && !commandLine.MatchString(c.Probe), "--probe %q: must be a command line that begins with an absolute path, without quotes", c.Probe)
	refuse(!userName.MatchString(c.User), "--user %q: must be the name of a user", c.User)
	return errors.Join(faults...)
}

func usable(address netip.Addr) bool {
	return address.IsValid() && address.Zone() == "" && !address.IsUnspecified() && !address.IsLoopback() && !address.IsMulticast()
}

// File is keepalived.conf of one of the nodes. The config is valid.
func (c Config) File(name string) (string, error) {
	at := slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Name == name })
	if at < 0 {
		return "", fmt.Errorf("there is no node %q", name)
	}
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write("# keepalived.conf of the load balancer %s, written by deploy/keepalived. All of a group have the same, but for the", name)
	write("# names and addresses of themselves and their peers.")
	write("")
	write("global_defs {")
	write("    router_id %s", name)
	write("    vrrp_version 3")
	write("    vrrp_rt_priority 50         # signs of life are sent in time, however busy the machine is")
	write("    vrrp_rlimit_rttime 1000000  # of microseconds; by default the kernel kills it after 10 ms of work in one go")
	write("    vrrp_no_swap")
	write("    enable_script_security")
	write("    script_user %s", c.User)
	write("}")
	write("")
	c.checks(write)
	c.instance(write, c.Nodes[at])
	return b.String(), nil
}

// checks are what the priority depends on.
func (c Config) checks(write func(string, ...any)) {
	tracker := "lb track"
	if c.Outer {
		tracker = "edge track"
		write("# edge track writes a number into it: 0 if HAProxy serves; -10 if the address is to be elsewhere, -20 if no cluster")
		write("# takes requests, or the sum; and -254, with which keepalived lets go at once, if HAProxy does not answer. That holds")
		write("# until it runs.")
	} else {
		write("# lb track writes a number into it: 0 if HAProxy serves; -5 if it is cut off, -10 if the address is to be")
		write("# elsewhere, -20 if there are no servers, or the sum; and -254, with which keepalived lets go at once, if HAProxy does")
		write("# not answer. That holds until it runs.")
	}
	write("track_file haproxy {")
	write("    file \"%s\"", c.Track)
	write("    weight 1")
	write("    init_file -254")
	write("}")
	write("")
	if c.Probe == "" {
		return
	}
	write("# The same question by another way, slowly, in case that %s is hung.", tracker)
	write("vrrp_script haproxy {")
	write("    script \"%s\"", c.Probe)
	write("    interval 3         # each is a process to start, which takes more than the question")
	write("    timeout 2")
	write("    fall 2")
	write("    rise 1")
	write("}")
	write("")
}

func (c Config) instance(write func(string, ...any), self Node) {
	write("vrrp_instance zatoha {")
	write("    state BACKUP         # each of them: the best one becomes master")
	write("    priority %d         # that of all, so that one that comes back does not take the address from another", Priority)
	write("    interface %s", c.Interface)
	write("    virtual_router_id %d", c.RouterID)
	write("    advert_int %s", strconv.FormatFloat(c.Advert.Seconds(), 'f', -1, 64))
	write("    unicast_src_ip %s", self.Address)
	write("    check_unicast_src    # adverts of others than the peers do not count")
	write("    unicast_peer {")
	for _, peer := range c.Nodes {
		if peer != self {
			write("        %s           # %s", peer.Address, peer.Name)
		}
	}
	write("    }")
	write("    virtual_ipaddress {")
	write("        %s dev %s", c.Virtual, c.Interface)
	write("    }")
	write("    garp_master_delay 1  # tell who has the address at once, and again a second later")
	write("    track_file {")
	write("        haproxy")
	write("    }")
	if c.Probe != "" {
		write("    track_script {")
		write("        haproxy")
		write("    }")
	}
	write("}")
}
