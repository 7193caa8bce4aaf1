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

// Log is the output of a node's program: consul, server, connectorhost, lb, haproxy, watch, track or keepalived.
func (n *Node) Log(program string) string { return n.log(program) }

// Notes is the file in which a node's recorder notes messages.
func (n *Node) Notes() string { return n.dir("notes") }

func (n *Node) at(port int) string { return fmt.Sprintf("%s:%d", n.Address, port) }

// Front is the address of a node's load balancer.
func (n *Node) Front() string { return n.at(FrontPort) }

// Front is the virtual address with its port, or that of the only load balancer.
func (f *Fleet) Front() string {
	if !f.shares() {
		return f.balancers()[0].Front()
	}
	return netip.AddrPortFrom(f.Virtual, FrontPort).String()
}

// startRest starts what needs the agent, when that has a leader, or all of an outer load balancer.
func (n *Node) startRest(ctx context.Context) error {
	if n.Outer {
		if err := n.configureEdge(ctx); err != nil {
			return err
		}
		if err := n.StartWatch(); err != nil {
			return err
		}
	} else if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	errs := []error{n.startServers()}
	if n.Balances {
		errs = append(errs, n.StartBalancer())
	}
	if n.fleet.shares() && n.Balances {
		errs = append(errs, n.StartTrack(), n.StartKeepalived())
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
	*into, err = n.begin(name, environ, binary, args...)
	return err
}

// begin starts a program with the priority that it has where it is installed.
func (n *Node) begin(name string, environ []string, binary string, args ...string) (*cluster.Process, error) {
	binary, args = cluster.AsUnit(binary, args...)
	return n.Start(name, n.log(name), environ, binary, args...)
}

func (n *Node) ours(name string) string { return filepath.Join(n.fleet.Bin, name) }

// startServers starts a node's servers, or recorders.
func (n *Node) startServers() error {
	n.Services = make([]*cluster.Process, n.Servers)
	for i := range n.Services {
		name, args := "server", []string{"--listen=" + n.at(ServerPort+i), "--invoke-token=" + n.fleet.Token}
		if n.fleet.Recorder {
			name, args = "recorder", append([]string{n.Notes()}, args...)
		}
		if err := n.launch(&n.Services[i], "server", n.ours(name), args...); err != nil {
			return err
		}
	}
	return nil
}

// StartBalancer starts a node's load balancer, which starts or adopts its HAProxy; of an outer one, HAProxy itself.
func (n *Node) StartBalancer() error {
	if n.Outer {
		return n.startEdge()
	}
	args := []string{
		"--state-dir=" + n.dir("lb"), "--haproxy-bin=" + n.fleet.HAProxy,
		fmt.Sprintf("--listen=0.0.0.0:%d", FrontPort), fmt.Sprintf("--admin-listen=127.0.0.1:%d", AdminPort),
	}
	if n.fleet.shares() {
		args = append(args, "--virtual-address="+n.fleet.Virtual.String())
	}
	for _, outer := range n.fleet.before {
		args = append(args, "--trusted-proxies="+outer.Address.String())
	}
	return n.launch(&n.LB, "lb", n.ours("lb"), args...)
}

// StartTrack starts what tells keepalived how the node's HAProxy does.
func (n *Node) StartTrack() error {
	if n.Outer {
		return n.launch(&n.Track, "track", n.ours("edge"), "track", "--track-dir="+n.trackDir())
	}
	args := []string{"track", "--state-dir=" + n.dir("lb")}
	for _, other := range n.fleet.balancers() {
		if other != n {
			args = append(args, "--peer="+other.Front())
		}
	}
	return n.launch(&n.Track, "track", n.ours("lb"), args...)
}

// trackDir is where a node meets its keepalived.
func (n *Node) trackDir() string {
	if n.Outer {
		return n.dir("track")
	}
	return n.dir("lb")
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
	if n.Outer {
		c = vrrp.DefaultOuter()
	}
	c.Virtual = netip.PrefixFrom(f.Virtual, f.net.Bits())
	c.Advert, c.User = cmp.Or(f.Advert, c.Advert), "root"
	c.Track, c.Probe = filepath.Join(n.trackDir(), "track"), n.ours("lb")+" probe"
	if n.Outer {
		c.Probe = n.ours("edge") + " probe"
	}
	for _, other := range f.balancers() {
		c.Nodes = append(c.Nodes, vrrp.Node{Name: other.Role.Name, Address: other.Address})
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
	if err := os.MkdirAll(n.trackDir(), 0o750); err != nil { // keepalived follows no file whose folder comes later
		return err
	}
	for _, pid := range []string{"keepalived.pid", "vrrp.pid"} { // of a life before
		if err := os.RemoveAll(n.dir(pid)); err != nil {
			return err
		}
	}
	n.Keepalived, err = n.Start(
		"keepalived", n.log("keepalived"), cluster.PlainEnviron(), f.Keepalived, "--dont-fork", "--log-console", "--log-detail", "--vrrp",
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

// Yield has a node give the virtual address away, and returns what it says of that.
func (n *Node) Yield(ctx context.Context) (said string, err error) { return n.giving(ctx, "yield") }

// Resume undoes a yield.
func (n *Node) Resume(ctx context.Context) error {
	_, err := n.giving(ctx, "resume")
	return err
}

func (n *Node) giving(ctx context.Context, command string) (string, error) {
	address := "--virtual-address=" + n.fleet.Virtual.String()
	if n.Outer {
		return n.Command(ctx, n.ours("edge"), command, address, "--sockets="+n.edgeSocket(), "--track-dir="+n.trackDir())
	}
	return n.Command(ctx, n.ours("lb"), command, address, "--state-dir="+n.dir("lb"))
}

// haproxy are the processes of a node's HAProxy, by the numbers that they have there, the worker first.
func (n *Node) haproxy(ctx context.Context) ([]int, error) {
	if n.Outer {
		return n.edgeProcesses(ctx)
	}
	status, err := n.Status(ctx)
	return []int{status.HAProxy.Worker, status.HAProxy.Master}, err
}

// KillBalancer kills a node's load balancer, the controller, if it has one, and HAProxy with all its processes, and says
// when it began.
func (n *Node) KillBalancer(ctx context.Context) (began time.Time, err error) {
	pids, err := n.haproxy(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if !n.Outer {
		n.LB.Kill()
	}
	began = time.Now()
	return began, n.signal(ctx, "KILL", pids...)
}

// FreezeHAProxy stops a node's HAProxy, as a machine that swaps would, and says when; thaw lets it go on.
func (n *Node) FreezeHAProxy(ctx context.Context) (began time.Time, thaw func(context.Context) error, err error) {
	pids, err := n.haproxy(ctx)
	if err != nil {
		return time.Time{}, nil, err
	}
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
