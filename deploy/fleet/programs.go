package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"zatoha/deploy/cluster"
	"zatoha/deploy/keepalived/vrrp"
)

func (n *Node) dir(what string) string { return filepath.Join(n.fleet.Dir, n.Role.Name, what) }

func (n *Node) log(program string) string {
	return filepath.Join(n.fleet.LogDir(), n.Role.Name+"-"+program+".log")
}

// LogDir is the folder with the output of every program: <host>-<program>.log.
func (f *Fleet) LogDir() string { return filepath.Join(f.Dir, "log") }

// Log is the output of a node's program: consul, server, connectorhost, lb, track or keepalived.
func (n *Node) Log(program string) string { return n.log(program) }

// Notes is the file in which a node's recorder notes messages.
func (n *Node) Notes() string { return n.dir("notes") }

func (n *Node) at(port int) string { return fmt.Sprintf("%s:%d", n.Address, port) }

// Front is the address of a node's load balancer.
func (n *Node) Front() string { return n.at(FrontPort) }

// Front is the virtual address with its port.
func (f *Fleet) Front() string { return netip.AddrPortFrom(f.Virtual, FrontPort).String() }

// startRest starts what needs the agent, when that has a leader.
func (n *Node) startRest(ctx context.Context) error {
	if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	var errs []error
	if n.Server {
		errs = append(errs, n.StartServer())
	}
	if n.Balances {
		errs = append(errs, n.StartLB(), n.StartTrack(), n.StartKeepalived())
	}
	if n.Connectors {
		errs = append(errs, n.StartConnectors())
	}
	return errors.Join(errs...)
}

func (n *Node) launch(into **cluster.Process, name, binary string, args ...string) error {
	environ, err := n.environ(name)
	if err != nil {
		return err
	}
	*into, err = n.Start(name, n.log(name), environ, binary, args...)
	return err
}

func (n *Node) ours(name string) string { return filepath.Join(n.fleet.Bin, name) }

// StartServer starts a node's server, or recorder.
func (n *Node) StartServer() error {
	args := []string{"--listen=" + n.at(ServerPort), "--invoke-token=" + n.fleet.Token}
	if n.fleet.Recorder {
		return n.launch(&n.Service, "server", n.ours("recorder"), append([]string{n.Notes()}, args...)...)
	}
	return n.launch(&n.Service, "server", n.ours("server"), args...)
}

// StartLB starts a node's load balancer, which starts or adopts its HAProxy.
func (n *Node) StartLB() error {
	return n.launch(
		&n.LB, "lb", n.ours("lb"), "--state-dir="+n.dir("lb"), "--haproxy-bin="+n.fleet.HAProxy,
		fmt.Sprintf("--listen=0.0.0.0:%d", FrontPort), fmt.Sprintf("--admin-listen=127.0.0.1:%d", AdminPort), "--virtual-address="+n.fleet.Virtual.String(),
	)
}

// StartTrack starts what tells keepalived how the node's HAProxy does.
func (n *Node) StartTrack() error {
	args := []string{"track", "--state-dir=" + n.dir("lb")}
	for _, other := range n.fleet.Nodes {
		if other.Balances && other != n {
			args = append(args, "--peer="+other.Front())
		}
	}
	return n.launch(&n.Track, "track", n.ours("lb"), args...)
}

// StartConnectors starts a node's connector host.
func (n *Node) StartConnectors() error {
	front := n.fleet.Front()
	if n.Balances {
		front = fmt.Sprintf("127.0.0.1:%d", FrontPort)
	}
	args := []string{
		"--id=" + n.Role.Name, "--listen=" + n.at(ConnectorPort), "--invoke-url=http://" + front, "--invoke-token=" + n.fleet.Token,
	}
	if ttl := n.fleet.LeaseTTL; ttl > 0 {
		args = append(args, "--lease-ttl="+ttl.String(), "--lease-beat="+(ttl/4).String())
	}
	return n.launch(&n.Connector, "connectorhost", n.ours("connectorhost"), args...)
}

// StartKeepalived writes a node's keepalived.conf, as the program deploy/keepalived does, and starts it.
func (n *Node) StartKeepalived() error {
	f := n.fleet
	c := vrrp.Default()
	c.Virtual = []netip.Prefix{netip.PrefixFrom(f.Virtual, f.net.Bits())}
	c.Advert, c.User = cmp.Or(f.Advert, c.Advert), "root"
	c.Track, c.Probe = filepath.Join(n.dir("lb"), "track"), n.ours("lb")+" probe"
	for _, other := range f.Nodes {
		if other.Balances {
			c.Nodes = append(c.Nodes, vrrp.Node{Name: other.Role.Name, Address: other.Address})
		}
	}
	if err := c.Validate(); err != nil {
		return err
	}
	text, err := c.File(n.Role.Name)
	if err != nil {
		return err
	}
	file := n.dir("keepalived.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(n.dir("lb"), 0o750); err != nil { // keepalived follows no file whose folder comes later
		return err
	}
	for _, pid := range []string{"keepalived.pid", "vrrp.pid"} { // of a life before
		if err := os.RemoveAll(n.dir(pid)); err != nil {
			return err
		}
	}
	n.Keepalived, err = n.Start(
		"keepalived", n.log("keepalived"), plainEnviron(), f.Keepalived, "--dont-fork", "--log-console", "--log-detail", "--vrrp",
		"--use-file="+file, "--pid="+n.dir("keepalived.pid"), "--vrrp_pid="+n.dir("vrrp.pid"),
	)
	return err
}

// Ready says whether a node's keepalived takes part: as master or as backup, by what it has logged last. What is in
// fault, or has just begun, would not take the virtual address over.
func (n *Node) Ready() error {
	text, err := os.ReadFile(n.log("keepalived"))
	if err != nil {
		return err
	}
	life := string(text[max(0, strings.LastIndex(string(text), "Starting Keepalived")):])
	_, state, _ := strings.Cut(life[max(0, strings.LastIndex(life, "(zatoha) Entering ")):], "Entering ")
	if strings.HasPrefix(state, "MASTER") || strings.HasPrefix(state, "BACKUP") {
		return nil
	}
	return fmt.Errorf("keepalived is in no state to take the address: %.20q", state)
}

// Balancer runs a command of the load balancer's program on a node, beside the one that runs.
func (n *Node) Balancer(ctx context.Context, words ...string) (string, error) {
	return n.Command(ctx, append(append([]string{n.ours("lb")}, words...), "--state-dir="+n.dir("lb"))...)
}

// KillBalancer kills a node's load balancer, the controller and HAProxy with all its processes, and says when it began.
func (n *Node) KillBalancer(ctx context.Context) (began time.Time, err error) {
	status, err := n.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	n.LB.Kill()
	began = time.Now()
	return began, n.signal(ctx, "KILL", status.HAProxy.Worker, status.HAProxy.Master)
}

// FreezeHAProxy stops a node's HAProxy, as a machine that swaps would, and says when; thaw lets it go on.
func (n *Node) FreezeHAProxy(ctx context.Context) (began time.Time, thaw func(context.Context) error, err error) {
	status, err := n.Status(ctx)
	if err != nil {
		return time.Time{}, nil, err
	}
	pids := []int{status.HAProxy.Worker, status.HAProxy.Master}
	began = time.Now()
	return began, func(ctx context.Context) error { return n.signal(ctx, "CONT", pids...) }, n.signal(ctx, "STOP", pids...)
}

// KillKeepalived kills both of its processes, so that it takes leave of nobody.
func (n *Node) KillKeepalived(ctx context.Context) error {
	var pids []int
	for _, name := range []string{"keepalived.pid", "vrrp.pid"} {
		text, err := os.ReadFile(n.dir(name))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("%s: %w", n.dir(name), err)
		}
		pids = append(pids, pid)
	}
	if err := n.signal(ctx, "KILL", pids...); err != nil {
		return err
	}
	<-n.Keepalived.Done()
	return nil
}

// signal sends one to processes by the numbers that they have on the node. That one has ended because another did is no
// fault.
func (n *Node) signal(ctx context.Context, name string, pids ...int) error {
	words := []string{"sh", "-c", `kill -s "$0" "$@"; true`, name}
	for _, pid := range pids {
		words = append(words, fmt.Sprint(pid))
	}
	_, err := n.Command(ctx, words...)
	return err
}
