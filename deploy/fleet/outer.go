package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"zatoha/deploy/cluster"
)

// operatorPort is where an outer load balancer's HAProxy takes commands of the other's operator.
const operatorPort = 9999

// Outer are n hosts that are outer load balancers, outer-1, outer-2 …: each has what deploy/README.md says of them, an
// HAProxy with a configuration by `edge config`, `edge watch`, `edge track` and keepalived, and no Consul.
//
// One case, from start to end. Two of them share a virtual address, and there are two clusters of one host each:
//
//	f, err := fleet.Start(ctx, fleet.Config{…, Roles: fleet.Outer(2), Clusters: fleet.Small("a", "b")})
//	defer f.Close()
//	holder, err := f.Holder(ctx)         // the outer load balancer that has the address
//	_, err = holder.Edge(ctx, "drain", "a") // at both of them
//	takes, err := holder.Takes(ctx, "a") // false
//	…                                    // whatever is done to f.Behind[0], nobody notices who asks f.Front()
//	_, err = holder.Edge(ctx, "ready", "a")
func Outer(n int) (roles []Role) {
	for i := range n {
		roles = append(roles, Role{Name: fmt.Sprintf("outer-%d", i+1), Balances: true, Outer: true})
	}
	return roles
}

// Small are clusters of one host, which has a Consul server, a load balancer and two servers.
func Small(names ...string) (all []Cluster) {
	for _, name := range names {
		all = append(all, Cluster{Name: name, Roles: []Role{{Name: name + "-1", ConsulServer: true, Servers: 2, Balances: true}}})
	}
	return all
}

// beginClusters starts the hosts of the clusters that are behind these.
func (f *Fleet) beginClusters(ctx context.Context) error {
	for _, c := range f.Clusters {
		config := f.Config
		config.Name, config.Dir, config.Roles, config.Clusters = c.Name, filepath.Join(f.Dir, c.Name), c.Roles, nil
		behind := newFleet(config)
		behind.net, behind.Client, behind.before = f.net, f.Client, f.Nodes
		f.Behind = append(f.Behind, behind)
		if err := behind.begin(ctx); err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
	}
	return nil
}

// Part lets nothing pass between a host and those of a cluster, until [Fleet.Heal].
func (f *Fleet) Part(ctx context.Context, n *Node, from *Fleet) error {
	var others []string
	for _, other := range from.Nodes {
		others = append(others, other.Role.Name)
	}
	return f.net.Part(ctx, []string{n.Role.Name}, others)
}

func (n *Node) edgeSocket() string { return n.dir("edge.sock") }
func (n *Node) edgeState() string  { return n.dir("edge.state") }
func (n *Node) edgeFile() string   { return n.dir("haproxy.cfg") }
func (n *Node) edgePID() string    { return n.dir("haproxy.pid") }

// configureEdge writes the configuration of an outer load balancer's HAProxy.
func (n *Node) configureEdge(ctx context.Context) error {
	var clusters []string
	for _, behind := range n.fleet.Behind {
		clusters = append(clusters, behind.Name+"="+behind.Front())
	}
	if err := os.MkdirAll(filepath.Dir(n.edgeFile()), 0o755); err != nil {
		return err
	}
	args := []string{
		n.ours("edge"), "config", "--clusters=" + strings.Join(clusters, ","), fmt.Sprintf("--listen=0.0.0.0:%d", FrontPort),
		"--socket=" + n.edgeSocket(), "--admin-listen=" + n.at(operatorPort), "--state-file=" + n.edgeState(), "--write=" + n.edgeFile(),
	}
	if n.fleet.shares() {
		args = append(args, "--virtual-address="+n.fleet.Virtual.String())
	}
	_, err := n.Command(ctx, args...)
	return err
}

// startEdge starts an outer load balancer's HAProxy.
func (n *Node) startEdge() error {
	return n.launch(&n.HAProxy, "haproxy", n.fleet.HAProxy, "-W", "-f", n.edgeFile(), "-p", n.edgePID())
}

// StartWatch starts an outer load balancer's `edge watch`.
func (n *Node) StartWatch() error {
	return n.launch(&n.Watch, "watch", n.ours("edge"), "watch", "--sockets="+n.edgeSocket(), "--state-file="+n.edgeState())
}

// Edge runs a command of edge on an outer load balancer, about all of them that live, and returns what it says.
func (n *Node) Edge(ctx context.Context, words ...string) (string, error) {
	sockets := []string{n.edgeSocket()}
	for _, other := range n.fleet.balancers() {
		if other != n && other.Alive() {
			sockets = append(sockets, other.at(operatorPort))
		}
	}
	return n.Command(ctx, slices.Concat([]string{n.ours("edge")}, words, []string{"--sockets=" + strings.Join(sockets, ",")})...)
}

// Takes says whether an outer load balancer sends new requests to a cluster.
func (n *Node) Takes(ctx context.Context, name string) (bool, error) {
	answer, err := cluster.AskHAProxy(ctx, n.edgeSocket(), "show servers state bck_clusters")
	if err != nil {
		return false, err
	}
	for _, server := range cluster.ReadServers(answer) {
		if server.Name == name {
			return server.Up && !server.Away, nil
		}
	}
	return false, fmt.Errorf("%s knows no cluster %s", n.Role.Name, name)
}

// edgeProcesses are those of an outer load balancer's HAProxy, the worker first.
func (n *Node) edgeProcesses(ctx context.Context) ([]int, error) {
	info, err := cluster.AskHAProxy(ctx, n.edgeSocket(), "show info")
	if err != nil {
		return nil, err
	}
	worker, err := cluster.ReadWorker(info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Role.Name, err)
	}
	text, err := os.ReadFile(n.edgePID())
	if err != nil {
		return nil, err
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return []int{worker, master}, err
}
