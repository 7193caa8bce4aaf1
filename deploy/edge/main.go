// Program edge is for outer load balancers, HAProxies in front of whole clusters: it makes their configuration, takes a
// cluster out of all of them in good order and brings it back, and looks after clusters that hang.
//
// One case, an upgrade of the cluster b behind two outer load balancers: `edge drain b --sockets …` tells both to send
// it nothing new, waits until its last session has ended, also in a worker that a reload of HAProxy has replaced, saying
// how many are left, and ends with status 0. Now whatever is done to b, no client notices. `edge ready b --sockets …`
// brings it back, and ends when both send to it again. Had b been the last cluster that took requests, or had one of the
// two not answered, `edge drain` would have changed nothing and said why.
//
// HAProxy itself is started as ever, by the unit of its package. Beside it runs `edge watch`, and `edge track` if it
// shares a virtual address with another: deploy/keepalived. `edge yield` gives that away, before somebody works on the
// machine.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"zatoha/deploy/program"
)

func main() {
	os.Exit(program.Main("edge", "Puts HAProxy in front of whole clusters, and takes clusters out and in.", &grammar{}))
}

type grammar struct {
	Make   configCommand `cmd:"" name:"config" help:"Print the configuration of an outer HAProxy, or put it into a file."`
	Drain  drainCommand  `cmd:"" help:"Send nothing new to a cluster, and wait until its sessions have ended; exit status 1 if they have not."`
	Ready  readyCommand  `cmd:"" help:"Send to a cluster again, and wait until it takes requests; exit status 1 if it does not."`
	Status statusCommand `cmd:"" help:"Show each cluster as each outer load balancer sees it; exit status 1 if one takes no requests somewhere."`
	Watch  watchCommand  `cmd:"" help:"End the sessions of clusters that are down, so that requests which hang there are tried elsewhere. Runs beside HAProxy."`
	Track  trackCommand  `cmd:"" help:"Tell keepalived, beside which this runs, how well this outer load balancer serves, so that the virtual address is where one does."`
	Yield  yieldCommand  `cmd:"" help:"Give the virtual address to another outer load balancer without a failed request, and do not take it while another is as good."`
	Resume resumeCommand `cmd:"" help:"Be as good a place for the virtual address as others again, after a yield."`
	Probe  probeCommand  `cmd:"" help:"Exit status 1 if HAProxy does not answer here; what keepalived asks if edge track is hung."`

	Sockets []string `default:"/run/haproxy/edge.sock" placeholder:"SOCKET" help:"Runtime sockets of the outer load balancers that this is about: paths, or host:port. Watch, yield and resume take their own alone; name all of them to drain, ready and status."`

	Masters []string `placeholder:"SOCKET" help:"Paths of the master sockets (haproxy -S) of the same HAProxies, in any order: drain then waits also for the workers that a reload has replaced, and status shows them. Without it, /run/haproxy-master.sock, that of Debian's haproxy.service, if it is there."`

	program.Common
}

// Validate is kong's hook.
func (g *grammar) Validate() error {
	var faults []error
	for _, socket := range g.Sockets {
		if strings.Contains(socket, "/") {
			continue
		}
		var address program.HostPort
		if err := address.UnmarshalText([]byte(socket)); err != nil {
			faults = append(faults, fmt.Errorf("--sockets: %w, or the path of a socket", err))
		}
	}
	if len(g.Sockets) == 0 {
		faults = append(faults, errors.New("--sockets: name at least one"))
	}
	for _, master := range g.Masters {
		if !strings.Contains(master, "/") {
			faults = append(faults, fmt.Errorf("--masters: %q: must be the path of a socket; ssh -L brings that of another machine here", master))
		}
	}
	return errors.Join(faults...)
}
