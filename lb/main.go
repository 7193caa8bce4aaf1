// Program lb is the load balancer's controller: it starts and supervises HAProxy, follows a service in Consul, keeps
// HAProxy's backend in step with it, and tells the truth about all of that.
//
// One life, from start to end: `lb` reads which servers haproxy.cfg had last, puts its own sections into the file,
// starts HAProxy or adopts the one that runs already, and follows zato-server in Consul. Consul away: HAProxy serves
// the last servers meanwhile. At SIGTERM the controller ends and HAProxy goes on; `lb stop-haproxy` ends HAProxy too.
//
// With --dataplane-url it drives an HAProxy that somebody else runs instead: the same life, without starting,
// supervising and stopping it.
package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"

	"zatoha/deploy/program"
	"zatoha/haproxy/process"
)

func main() {
	os.Exit(program.Main("lb", "Balances a cluster of servers: keeps HAProxy in step with Consul.", &grammar{}))
}

type grammar struct {
	Run         runCommand      `cmd:"" default:"withargs" help:"Run the load balancer (the default)."`
	Status      statusCommand   `cmd:"" help:"Show what the running load balancer does, as a table; exit status 1 if it is not healthy."`
	Plan        planCommand     `cmd:"" help:"Show what the load balancer would change if it were started now with the same flags; change nothing."`
	Release     releaseCommand  `cmd:"" help:"Let through the removals that the guard holds back now."`
	Rollback    rollbackCommand `cmd:"" help:"Give HAProxy back the design that it had before the settings were last changed; servers stay."`
	Track       trackCommand    `cmd:"" help:"Tell keepalived, beside which this runs, how well HAProxy serves, so that the virtual address is where it does."`
	Probe       probeCommand    `cmd:"" help:"Ask HAProxy once whether it serves, for keepalived; exit status 1 if it does not."`
	Yield       yieldCommand    `cmd:"" help:"Give the virtual address to another load balancer without a failed request, and do not take it while another is as good."`
	Resume      resumeCommand   `cmd:"" help:"Be as good a place for the virtual address as others again, after a yield."`
	StopHAProxy stopCommand     `cmd:"" name:"stop-haproxy" help:"Stop the HAProxy that the load balancer left running."`

	StateDir   string `default:"/var/lib/zatoha/lb" help:"Directory for HAProxy's sockets, pid file and log, and for what a rollback needs. One controller per directory."`
	HAProxyCfg string `name:"haproxy-cfg" placeholder:"FILE" help:"HAProxy's configuration file; lines that are not ours stay as they are. Default: haproxy.cfg in the state directory."`
	HAProxyBin string `name:"haproxy-bin" placeholder:"PROGRAM" help:"HAProxy's program, 2.6 or newer. Default: haproxy."`

	DataPlane dataPlaneFlags `embed:""`

	program.Common
}

// AfterApply refuses flags that make no sense together, and fills in what depends on others.
func (g *grammar) AfterApply() error {
	err := errors.Join(g.DataPlane.check(), g.DataPlane.exclude("--haproxy-cfg", g.HAProxyCfg), g.DataPlane.exclude("--haproxy-bin", g.HAProxyBin))
	g.HAProxyCfg = cmp.Or(g.HAProxyCfg, filepath.Join(g.StateDir, "haproxy.cfg"))
	g.HAProxyBin = cmp.Or(g.HAProxyBin, "haproxy")
	return err
}

func (g *grammar) paths() process.Paths { return process.Paths{Config: g.HAProxyCfg, Dir: g.StateDir} }
