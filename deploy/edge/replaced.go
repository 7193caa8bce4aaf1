package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"zatoha/haproxy"
	"zatoha/haproxy/process"
)

// A worker that a reload has replaced goes on with what it has in hand, for the --hard-stop-after of its configuration at
// most, and each client that was idle there may bring it one request more. It sends that to whom it took for well at the
// reload: it checks no health, and HAProxy refuses to drain a cluster there. The runtime socket is the present worker's
// alone; those of before are asked by the master's.

// debianMaster is where Debian's haproxy.service has the master's socket.
const debianMaster = "/run/haproxy-master.sock"

// masters are the sockets to ask: those that were named, else the one of this machine's haproxy.service, if this is about
// this machine and somebody listens there.
func (g *grammar) masters(ctx context.Context, usual string) []string {
	here := slices.ContainsFunc(g.Sockets, func(socket string) bool { return strings.Contains(socket, "/") })
	if len(g.Masters) > 0 || !here {
		return g.Masters
	}
	if _, err := os.Stat(usual); err != nil {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", usual)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil // left by one that has ended
	}
	if err == nil {
		conn.Close()
	}
	return []string{usual}
}

// replaced is a worker that a reload has replaced, and what it does with each cluster.
type replaced struct {
	view // by the master's socket
	pid  int
}

// lookAtReplaced asks all masters for them. One that runs another configuration, without clusters, is none of ours.
func lookAtReplaced(ctx context.Context, masters []string) (all []replaced, err error) {
	for _, master := range masters {
		workers, err := process.AskOld(ctx, master, showStates, showStats)
		if err != nil {
			return nil, fmt.Errorf("the master of HAProxy at %s does not answer: %w: name its socket by --masters", master, cause(err))
		}
		for _, worker := range workers {
			if !strings.Contains(worker.Answer, "# pxname,") {
				continue
			}
			r := replaced{view: view{balancer: balancer{master}}, pid: worker.PID}
			if r.endpoints, err = parse(worker.Answer); err != nil {
				return nil, fmt.Errorf("the old worker %d of the HAProxy at %s: %w", worker.PID, master, err)
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// remains is what they have of a cluster: sessions, and the process ids of those that may send it more.
func remains(all []replaced, cluster string) (sessions int, sending []string) {
	for _, worker := range all {
		e, there := worker.of(cluster)
		sessions += e.sessions
		if there && !e.draining && !e.maintained {
			sending = append(sending, strconv.Itoa(worker.pid))
		}
	}
	return sessions, sending
}

// mayCome says who is waited for.
func mayCome(sending []string) string {
	return fmt.Sprintf("clients from before a reload may bring a request more: HAProxy's old worker %s ends with its last connection, or after --hard-stop-after", strings.Join(sending, ", "))
}

// sayUnseen says of how many outer load balancers nobody knows what a reload has left.
func sayUnseen(out io.Writer, sockets, masters []string) {
	if n := len(sockets) - len(masters); n > 0 {
		fmt.Fprintf(out, "NOT SEEN at %d of %d outer load balancers: what workers have in hand that a reload of HAProxy has replaced; name the master sockets by --masters\n", n, len(sockets))
	}
}

// endReplaced ends the sessions that they have with a cluster.
func endReplaced(ctx context.Context, masters []string, cluster string) error {
	for _, master := range masters {
		end := func(ask process.Ask) error { return ask.End(haproxy.EdgeBackend, cluster) }
		if err := process.EachOld(ctx, master, end); err != nil {
			return fmt.Errorf("the master of HAProxy at %s: %w", master, err)
		}
	}
	return nil
}
