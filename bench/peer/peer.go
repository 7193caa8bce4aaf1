// Package peer runs other load balancers that follow Consul, beside the cluster that a benchmark runs and with the same
// servers behind them, so that what their clients notice is set beside what clients of ours notice.
//
// One case: `bench propagation` on a machine that has fabio in PATH calls [StartFabio] with its cluster, whose servers
// are registered with [FabioTag]. fabio is started, follows the cluster's Consul, and is asked by [Fabio.Await] until it
// sends traffic to all of them. By turns the same changes are then made and the same load put on ours and on fabio's
// address, and [Fabio.Stop] ends it.
package peer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zatoha/deploy/cluster"
)

// Balancer is what a load goes through: ours, or a peer.
type Balancer interface {
	// Address is that of its front.
	Address() string
	// Status is what ours says on its status page, or as much of it as a peer can tell: who takes traffic.
	Status(ctx context.Context) (cluster.Status, error)
	// Await waits until the status is as wanted, a program that it needs has ended, or ctx has.
	Await(ctx context.Context, wanted func(cluster.Status) bool) error
}

// Peer is one that was started beside a cluster.
type Peer interface {
	Balancer
	// Stop ends it, in bounded time: what of it has not ended when ctx does is killed.
	Stop(ctx context.Context) error
}

// Kind is a kind of peer, and how one is started beside a cluster. Whoever starts it stops it.
type Kind struct {
	Name  string // in reports
	Start func(ctx context.Context, c *cluster.Cluster) (Peer, error)
}

// OfFabio is fabio, by the path of its program.
func OfFabio(binary string) Kind {
	return Kind{FabioName, func(ctx context.Context, c *cluster.Cluster) (Peer, error) { return StartFabio(ctx, c, binary) }}
}

// OfConsulTemplate is consul-template, by the path of its program, with an HAProxy.
func OfConsulTemplate(binary string) Kind {
	return Kind{ConsulTemplateName, func(ctx context.Context, c *cluster.Cluster) (Peer, error) {
		return StartConsulTemplate(ctx, c, binary)
	}}
}

// About tells, for a report, how the peers of these names are run.
func About(names []string) string {
	var parts []string
	for _, of := range []struct{ name, about string }{
		{ConsulTemplateName, ConsulTemplateName + " is an HAProxy of the same build, whose haproxy.cfg consul-template renders, with `check` on each " +
			"server and no further directive, and which it reloads by SIGUSR2"},
		{FabioName, FabioSettings()},
	} {
		if slices.Contains(names, of.name) {
			parts = append(parts, of.about)
		}
	}
	return strings.Join(parts, "; ")
}

// Ours is the load balancer of a cluster.
type Ours struct{ *cluster.Cluster }

// Address is that of its front.
func (o Ours) Address() string { return o.Front }

// await asks a peer until its status is as wanted, one of its programs ends, or ctx does.
func await(ctx context.Context, of Balancer, programs []*cluster.Process, wanted func(cluster.Status) bool) error {
	return programs[0].Await(ctx, func(ctx context.Context) error {
		for _, program := range programs {
			if program.HasEnded() {
				return &cluster.EndedError{Process: program}
			}
		}
		status, err := of.Status(ctx)
		if err == nil && !wanted(status) {
			err = fmt.Errorf("it says %+v", status.Slots)
		}
		return err
	})
}
