// Package cluster runs a whole cluster on this machine from the real programs: a Consul agent, the load balancer with
// its HAProxy, and servers. `make run` and the integration tests start the same cluster by it.
//
// From start to end: [Start] starts Consul and waits for its leader, starts the servers, the load balancer and the
// connector hosts, which share a token with the servers, and waits until HAProxy sends traffic to each server and one of
// the hosts is active. Whoever has the [Cluster] may kill its processes, by their PIDs, and start them again.
// [Cluster.Stop] ends the connector hosts first, which lets them finish their messages, then the servers, which lets
// them leave rotation, then the load balancer and its HAProxy, then Consul; it leaves no process, socket or pid file
// behind, and the logs in place.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Config says what a cluster is made of and where it listens.
type Config struct {
	Bin        string   // folder with our programs
	ConsulBin  string   // path of Consul; "" if somebody else runs it, and Environ says where
	HAProxyBin string   // path of HAProxy; "" if LBArgs name one that somebody else runs
	Dir        string   // folder for state and logs; see Clean
	ConsulAddr string   // of Consul's HTTP API
	Front      string   // of HAProxy's front
	Admin      string   // of the status page
	Servers    []string // of each server
	LBArgs     []string // more arguments for the load balancer
	Hosts      []string // of each connector host; may be none
	Durable    bool     // Consul keeps what it knows in a folder below Dir, for when it is started again
	AsUnits    bool     // every program has the priority of its unit; see [AsUnit]

	// ConsulServers is how many servers Consul has, beside the agent at ConsulAddr, as in production; all are durable. 0 is
	// an agent that is the only server itself.
	ConsulServers int

	// Environ has more variables for a program: "lb", "server" or "connectorhost". May be nil.
	Environ func(program string) []string
}

// Cluster is a running cluster. It belongs to one goroutine.
type Cluster struct {
	Config
	Consul  *Process
	LB      *Process
	Servers []*Process
	Hosts   []*Process // the connector hosts

	Datacenter *ConsulServers // nil unless there are some

	agent   *ConsulServer // whose process is Consul then
	janitor *janitor
	durable *ConsulServers // nil before it was started
}

// Status is what is read of the load balancer's status page.
type Status struct {
	Summary  string   `json:"summary"`
	Rotation []string `json:"rotation"`
	Slots    []Slot   `json:"slots"`
	Held     []any    `json:"held"`
	HAProxy  struct {
		Running  bool `json:"running"`
		Master   int  `json:"master_pid"`
		Worker   int  `json:"worker_pid"`
		Adopted  bool `json:"adopted"`
		Restarts int  `json:"restarts"`

		DroppedLogs int `json:"dropped_logs_total"`
	} `json:"haproxy"`
	DataPlane struct {
		Kind      string `json:"kind"`
		Reachable bool   `json:"reachable"`
	} `json:"data_plane"`
	Consul struct {
		Reachable bool `json:"reachable"`
	} `json:"consul"`
	Sync struct {
		AgeMS    int64          `json:"age_ms"`
		Error    string         `json:"error"`
		Failures int            `json:"failures_total"`
		Changes  int            `json:"changes_total"`
		Reloads  map[string]int `json:"reloads_total"`
		Drift    Drift          `json:"drift_total"`
	} `json:"sync"`
	Changes []struct {
		What string `json:"what"`
	} `json:"changes"`
}

// Drift is how often the controller has set right what somebody else had changed, and where.
type Drift struct {
	File    int `json:"file"`
	Runtime int `json:"runtime"`
}

// Slot is one of HAProxy's servers, as the status page shows it.
type Slot struct {
	Slot     string `json:"slot"`
	Instance string `json:"instance"`
	Mode     string `json:"mode"`
	Status   string `json:"status"`
	Requests int    `json:"requests"`
}

// Start starts everything and waits until every server takes traffic. If that fails, what was started is stopped.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{Config: config}
	if err := c.start(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, c.Stop(stopCtx))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) (err error) {
	if err := c.writeToken(); err != nil {
		return err
	}
	if c.janitor, err = hireJanitor(filepath.Join(c.Bin, "lb"), c.lbDir()); err != nil {
		return err
	}
	if err := c.StartConsul(ctx); err != nil {
		return err
	}
	c.Servers = make([]*Process, len(c.Config.Servers))
	for i := range c.Config.Servers {
		if err := c.StartServer(i); err != nil {
			return err
		}
	}
	if err := c.StartLB(); err != nil {
		return err
	}
	if err := c.startHosts(); err != nil {
		return err
	}
	return c.Whole(ctx)
}

// StartConsul starts Consul, or what does not run of it; empty unless it is durable.
func (c *Cluster) StartConsul(ctx context.Context) (err error) {
	if c.ConsulBin == "" {
		return nil
	}
	if c.ConsulServers > 0 {
		return c.startDatacenter(ctx)
	}
	if c.Durable {
		c.Consul, err = c.startDurable(ctx)
		return err
	}
	c.Consul, err = startConsul(ctx, c.AsUnits, c.ConsulBin, c.ConsulAddr, c.log("consul"))
	return err
}

// startDurable starts the one server of a datacenter, at the ports and with the state that it had.
func (c *Cluster) startDurable(ctx context.Context) (*Process, error) {
	if c.durable == nil {
		servers, err := agentsAtFreePorts(c.Dir, "consul")
		if err != nil {
			return nil, err
		}
		servers[0].HTTP, servers[0].log = c.ConsulAddr, c.log("consul")
		c.durable = &ConsulServers{Servers: servers, config: ConsulServersConfig{Binary: c.ConsulBin, Dir: c.Dir, Count: 1, AsUnits: c.AsUnits}}
	}
	if err := c.durable.Start(0); err != nil {
		return nil, err
	}
	_, err := c.durable.AwaitLeader(ctx)
	return c.durable.Servers[0].process, err
}

// StartServer starts server i, counted from 0.
func (c *Cluster) StartServer(i int) (err error) {
	name := fmt.Sprintf("server-%d", i+1)
	args := append([]string{"--listen", c.Config.Servers[i]}, c.tokenArgs()...)
	c.Servers[i], err = c.begin(name, "server", filepath.Join(c.Bin, "server"), args...)
	return err
}

// StartLB starts the load balancer, which starts or adopts its HAProxy.
func (c *Cluster) StartLB() (err error) {
	args := []string{"--state-dir", c.lbDir(), "--listen", c.Front, "--admin-listen", c.Admin}
	if c.HAProxyBin != "" {
		args = append(args, "--haproxy-bin", c.HAProxyBin)
	}
	args = append(args, c.LBArgs...)
	c.LB, err = c.begin("lb", "lb", filepath.Join(c.Bin, "lb"), args...)
	return err
}

// begin starts a program.
func (c *Cluster) begin(name, program, binary string, args ...string) (*Process, error) {
	return startAs(c.AsUnits, name, c.log(name), c.env(program), binary, args...)
}

func (c *Cluster) env(program string) []string {
	env := append(PlainEnviron(), "CONSUL_HTTP_ADDR="+c.ConsulAddr)
	if c.Environ != nil {
		env = append(env, c.Environ(program)...)
	}
	return env
}

// LogDir is the folder with the output of every program.
func (c *Cluster) LogDir() string { return filepath.Join(c.Dir, "log") }

func (c *Cluster) log(name string) string { return filepath.Join(c.LogDir(), name+".log") }

func (c *Cluster) lbDir() string { return filepath.Join(c.Dir, "lb") }

// HAProxyCfg is the path of HAProxy's configuration file.
func (c *Cluster) HAProxyCfg() string { return filepath.Join(c.lbDir(), "haproxy.cfg") }

// Processes are all that were started, in the order in which they are to be stopped.
func (c *Cluster) Processes() []*Process {
	var all []*Process
	for _, p := range slices.Concat(c.Hosts, c.Servers, []*Process{c.LB, c.Consul}, c.datacenter()) {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// Status reads the status page.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	var status Status
	err := getJSON(ctx, "http://"+c.Admin+"/status", &status)
	return status, err
}

// Await reads the status page until it is as wanted, the load balancer ends, or ctx does.
func (c *Cluster) Await(ctx context.Context, wanted func(Status) bool) error {
	return c.LB.Await(ctx, func(ctx context.Context) error {
		if ended := c.ended(); ended != nil {
			return ended
		}
		status, err := c.Status(ctx)
		if err == nil && !wanted(status) {
			err = fmt.Errorf("the status page says %+v", status)
		}
		return err
	})
}

// ended is the first server or connector host that ended though nobody asked it to.
func (c *Cluster) ended() error {
	for _, p := range slices.Concat(c.Servers, c.Hosts) {
		if p != nil && p.HasEnded() && p.Status() > 0 {
			return &EndedError{Process: p}
		}
	}
	return nil
}

// Stop ends everything, whatever of it runs, in bounded time: what has not ended when ctx ends is killed. HAProxy is
// ended even then. It is an error if a program of ours that ran does not end in good order.
func (c *Cluster) Stop(ctx context.Context) error {
	var errs []error
	for _, ours := range [][]*Process{c.Hosts, c.Servers, {c.LB}} {
		running := slices.DeleteFunc(slices.Clone(ours), func(p *Process) bool { return p == nil || p.HasEnded() })
		errs = append(errs, stopAll(ctx, running, (*Process).StopClean))
	}
	for _, consul := range [][]*Process{{c.Consul}, c.datacenter()} {
		errs = append(errs, stopAll(ctx, consul, (*Process).Stop))
	}
	if c.janitor != nil {
		errs = append(errs, c.janitor.finish(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(c.tokenFile()))...)
}

// stopAll ends processes at the same time.
func stopAll(ctx context.Context, all []*Process, stop func(*Process, context.Context) error) error {
	ended := make(chan error, len(all))
	waiting := 0
	for _, p := range all {
		if p != nil {
			waiting++
			go func() { ended <- stop(p, ctx) }()
		}
	}
	var errs []error
	for range waiting {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
