// Package peer runs other load balancers that follow Consul, beside the cluster that a benchmark runs and with the same
// servers behind them, so that what their clients notice is set beside what clients of ours notice.
//
// One case: `bench propagation` on a machine that has fabio in PATH calls [StartFabio] with its cluster, whose servers are
// registered with [FabioTag]. fabio is started, follows the cluster's Consul, and is asked by [Fabio.Await] until it sends
// traffic to all of them. By turns the same changes are then made and the same load put on ours and on fabio's address, and
// [Fabio.Stop] ends it.
package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Ours is the load balancer of a cluster.
type Ours struct{ *cluster.Cluster }

// Address is that of its front.
func (o Ours) Address() string { return o.Front }

// poll is how often a peer is asked.
const poll = 20 * time.Millisecond

// await asks a peer until its status is as wanted, one of its programs ends, or ctx does.
func await(ctx context.Context, of Balancer, name string, programs []*cluster.Process, wanted func(cluster.Status) bool) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		status, err := of.Status(ctx)
		if err == nil && wanted(status) {
			return nil
		}
		for _, program := range programs {
			select {
			case <-program.Done():
				return &cluster.EndedError{Process: program}
			default:
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not as wanted: %+v", name, status.Slots), err)
		case <-ticker.C:
		}
	}
}
