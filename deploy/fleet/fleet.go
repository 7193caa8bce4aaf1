// Package fleet runs a cluster on several hosts, each of which has all that a machine of a real one has: a Consul agent,
// a server, a connector host, and a load balancer with HAProxy and keepalived, from the real programs. The hosts are
// namespaces of this machine, see package netns: they can die, be unplugged and be cut off from each other. Consul is as
// it is shipped: the program deploy/consul makes its configuration, with TLS, encrypted gossip, and a token for each
// program that may do no more than that one needs.
//
// One case, from start to end. Three hosts, with a Consul server each, share a virtual address:
//
//	f, err := fleet.Start(ctx, fleet.Config{Bin: "/…/bin", Consul: …, HAProxy: …, Keepalived: …, Dir: dir, Roles: fleet.Equal(3)})
//	defer f.Close()
//	holder, err := f.Holder(ctx)              // the node that has the virtual address
//	err = holder.Dead(ctx)                    // its power is cut
//	…                                         // f.Client, a host of its own, asks f.Virtual meanwhile
//	err = errors.Join(holder.Boot(ctx), f.Run(ctx, holder), f.Whole(ctx))
//
// Close ends every process, whatever has become of it, and so does the end of this process.
//
// With Clusters, the hosts are outer load balancers, and the clusters, each of hosts and with a Consul of its own, are
// behind them: see [Outer].
package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"zatoha/bench/pause"
	"zatoha/deploy/cluster"
	"zatoha/deploy/netns"
)

// Role says what runs on a host, besides a Consul agent.
type Role struct {
	Name         string
	ConsulServer bool // its agent is one of the cluster's servers
	Servers      int
	Connectors   bool // it has a connector host
	Balances     bool // it has a load balancer, and can have the virtual address if there is another
	Outer        bool // its load balancer is in front of clusters, and nothing else runs on it, nor a Consul agent
}

// Equal are n hosts that have everything, the first three with a Consul server: n1, n2 …
func Equal(n int) (roles []Role) {
	for i := range n {
		roles = append(roles, Role{Name: fmt.Sprintf("n%d", i+1), ConsulServer: i < 3, Servers: 1, Connectors: true, Balances: true})
	}
	return roles
}

// Config says what the fleet is made of.
type Config struct {
	Bin        string // folder with our programs, deploy/consul as zatoha-consul; with Recorder, the recorder too
	Consul     string // paths of the programs
	HAProxy    string
	Keepalived string
	Dir        string // for state and logs; short, as sockets are in it
	Name       string // of the cluster, if it is behind outer load balancers
	Roles      []Role
	Clusters   []Cluster     // that are behind the hosts, which are outer load balancers then
	Recorder   bool          // servers are the recorder, which notes each message
	Advert     time.Duration // of keepalived; 0: as it is shipped
	FastGossip bool          // Consul's gossip is the fast one that is shipped, and not its own
	LeaseTTL   time.Duration // of the connector hosts, which beat four times in it; 0: as by default
}

// Cluster is a whole cluster behind outer load balancers.
type Cluster struct {
	Name  string // for them
	Roles []Role
}

// The ports of each host. Servers have the next ones, too.
const (
	FrontPort     = 11223
	AdminPort     = 11224
	ServerPort    = 17010
	ConnectorPort = 17110
	ConsulPort    = 8501
)

// Fleet is a running fleet. It belongs to one goroutine, but for its hosts' Dial.
type Fleet struct {
	Config
	Nodes   []*Node
	Client  *netns.Host // has nothing, and is for whoever asks
	Virtual netip.Addr  // nobody's if there is but one load balancer
	Behind  []*Fleet    // the clusters, in their order
	Token   string      // of servers and connector hosts

	net      *netns.Net
	before   []*Node // the outer load balancers that it is behind
	secrets  cluster.Secrets
	operator string // token for the fleet's own calls of Consul
	trust    *tls.Config
}

// Node is a host and what runs on it. A process that does not run, or that the role has none of, is nil or has ended.
type Node struct {
	Role
	*netns.Host
	Agent, Connector, LB, Track, Keepalived *cluster.Process

	Services []*cluster.Process // its servers
	HAProxy  *cluster.Process   // of an outer load balancer, whose watch is beside it
	Watch    *cluster.Process

	fleet *Fleet
}

// Start starts everything, and waits until all of it works.
func Start(ctx context.Context, config Config) (_ *Fleet, err error) {
	f := newFleet(config)
	if f.net, err = netns.New(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.New(err.Error()) // now, as it quotes from the logs
			f.Close()
		}
	}()
	if f.Client, err = f.net.Add(ctx, "client"); err != nil {
		return nil, err
	}
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	if err := f.complete(ctx); err != nil {
		return nil, err
	}
	return f, f.Whole(ctx)
}

func newFleet(config Config) *Fleet {
	return &Fleet{Config: config, Token: "a token of the fleet's own"}
}

// begin starts the hosts, on a network that there is, and Consul on them.
func (f *Fleet) begin(ctx context.Context) error {
	for _, role := range f.Roles {
		host, err := f.net.Add(ctx, role.Name)
		if err != nil {
			return err
		}
		f.Nodes = append(f.Nodes, &Node{Role: role, Host: host, fleet: f})
	}
	if f.shares() {
		f.Virtual = f.net.Spare()
	}
	if len(f.Clusters) > 0 {
		return f.beginClusters(ctx)
	}
	return f.startConsul(ctx)
}

// complete starts the rest, as soon as Consul has a leader.
func (f *Fleet) complete(ctx context.Context) error {
	for _, behind := range f.Behind {
		if err := behind.complete(ctx); err != nil {
			return fmt.Errorf("cluster %s: %w", behind.Name, err)
		}
	}
	if len(f.Behind) == 0 {
		if err := f.grantRights(ctx); err != nil {
			return err
		}
	}
	for _, n := range f.Nodes {
		if err := n.startRest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shares says whether there are several load balancers, which share the virtual address.
func (f *Fleet) shares() bool { return len(f.balancers()) > 1 }

func (f *Fleet) balancers() []*Node {
	return slices.DeleteFunc(slices.Clone(f.Nodes), func(n *Node) bool { return !n.Balances })
}

// Close ends everything.
func (f *Fleet) Close() { f.net.Close() }

// Partition cuts nodes off from all others, and from the client.
func (f *Fleet) Partition(ctx context.Context, nodes ...*Node) error {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Role.Name)
	}
	return f.net.Partition(ctx, names...)
}

// Heal undoes all partitions.
func (f *Fleet) Heal(ctx context.Context) error { return f.net.Heal(ctx) }

// Run starts everything on a node that was booted.
func (f *Fleet) Run(ctx context.Context, n *Node) error {
	if !n.Outer {
		if err := n.StartAgent(); err != nil {
			return err
		}
	}
	return n.startRest(ctx)
}

// Holder is the node that has the virtual address. It is an error if none has it, or several.
func (f *Fleet) Holder(context.Context) (*Node, error) {
	var holder *Node
	for _, n := range f.Nodes {
		if !n.Has(f.Virtual) {
			continue
		}
		if holder != nil {
			return nil, fmt.Errorf("%s and %s have the virtual address", holder.Role.Name, n.Role.Name)
		}
		holder = n
	}
	if holder == nil {
		return nil, errors.New("nobody has the virtual address")
	}
	return holder, nil
}

const pollInterval = 20 * time.Millisecond

// Until asks for a condition until it holds or ctx ends. Its error says what is missing.
func Until(ctx context.Context, condition func(context.Context) error) error {
	return pause.Until(ctx, pollInterval, condition)
}

// Status reads the status page of a node's load balancer.
func (n *Node) Status(ctx context.Context) (status cluster.Status, err error) {
	return status, n.Get(ctx, fmt.Sprintf("http://127.0.0.1:%d/status", AdminPort), &status)
}

// callTimeout bounds a call.
const callTimeout = 2 * time.Second

// Get reads JSON from a URL as it is reached on the node itself.
func (n *Node) Get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx, n.HTTP(), "", "GET", url, nil, func(text []byte) error { return json.Unmarshal(text, into) })
}
