// Program keepalived writes keepalived.conf for load balancers that share a virtual address.
//
// One case from start to end:
//
//	go run ./deploy/keepalived --node a=10.0.0.1 --node b=10.0.0.2 --virtual 10.0.0.100/24 --out conf
//
// writes conf/a/keepalived.conf and conf/b/keepalived.conf, each of which goes to /etc/keepalived on its machine. A flag
// that makes no sense is refused by name, before anything is written. README.md says how to run the pair.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"zatoha/deploy/keepalived/vrrp"
	"zatoha/deploy/program"
)

func main() {
	os.Exit(program.Main("keepalived", "Writes keepalived.conf for load balancers that share a virtual address.", &grammar{}))
}

type grammar struct {
	Write writeCommand `cmd:"" default:"withargs" help:"Write a keepalived.conf for each node (the default)."`

	program.Common
}

// node is one of the load balancers, as it is typed.
type node vrrp.Node

// UnmarshalText reads name=address.
func (n *node) UnmarshalText(text []byte) error {
	name, address, found := strings.Cut(string(text), "=")
	if !found {
		return fmt.Errorf("%q: must be name=address, like a=10.0.0.1", text)
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("%q: %q is no IP address", text, address)
	}
	*n = node{Name: name, Address: ip}
	return nil
}

// writeCommand has the defaults of the package vrrp.
type writeCommand struct {
	Node      []node         `placeholder:"NAME=IP" help:"A load balancer, and the address at which the others reach it. Give it for each."`
	Virtual   []netip.Prefix `placeholder:"IP/BITS" help:"The one address that they share, with the length of its network's prefix."`
	Outer     bool           `help:"The nodes are outer load balancers, in front of whole clusters: edge track writes the file, and the defaults of --track and --probe are edge's."`
	Interface string         `default:"eth0" help:"Network interface of each load balancer, that has its own address and gets the shared one."`
	RouterID  int            `default:"51" help:"Number of the group, 1..255: another one for each group on the same network."`
	Advert    time.Duration  `default:"200ms" help:"Time between two signs of life. After about 3.6 of these without one, another takes over."`
	Track     string         `default:"/var/lib/zatoha/lb/track" help:"The file that lb track writes: track in the load balancer's --state-dir."`
	Probe     string         `default:"/usr/bin/zatoha-lb probe" help:"Command line that fails if HAProxy does not answer; empty for none."`
	User      string         `default:"zatoha" help:"User that runs it."`
	Out       string         `default:"." help:"Folder for the files: <out>/<name>/keepalived.conf."`
}

func (w *writeCommand) config() vrrp.Config {
	c := vrrp.Config{
		Interface: w.Interface, RouterID: w.RouterID, Advert: w.Advert, Track: w.Track, Probe: w.Probe, User: w.User,
	}
	if len(w.Virtual) > 0 {
		c.Virtual = w.Virtual[0]
	}
	if w.Outer {
		inner, outer := vrrp.Default(), vrrp.DefaultOuter()
		c.Outer = true
		if c.Track == inner.Track {
			c.Track = outer.Track
		}
		if c.Probe == inner.Probe {
			c.Probe = outer.Probe
		}
	}
	for _, n := range w.Node {
		c.Nodes = append(c.Nodes, vrrp.Node(n))
	}
	return c
}

// Validate is kong's hook. It reports every fault. A second address would move with the first, but `lb yield` knows of
// one alone: the connections to the other would be cut.
func (w *writeCommand) Validate() error {
	var several error
	if n := len(w.Virtual); n > 1 {
		several = program.BadConfig("--virtual", fmt.Sprintf("there are %d, and the nodes share one address", n), "name the one that clients ask")
	}
	return errors.Join(several, w.config().Validate())
}

// Run writes the files and prints their paths.
func (w *writeCommand) Run(_ context.Context, _ zerolog.Logger) error {
	c := w.config()
	for _, n := range c.Nodes {
		text, err := c.File(n.Name)
		if err != nil {
			return err
		}
		folder := filepath.Join(w.Out, n.Name)
		target := filepath.Join(folder, "keepalived.conf")
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(target, []byte(text), 0o644)); err != nil {
			return program.BadConfig("--out", err.Error(), "choose a folder that this user may write")
		}
		fmt.Println(target)
	}
	return nil
}
